/* Interrupts system calls that take no deadline of their own: fcntl(2) with F_SETLKW, write(2) to a pipe. */
#ifndef DOORPOST_INTERRUPT_H
#define DOORPOST_INTERRUPT_H

/* From here on a blocking call of this thread fails with EINTR every 20 ms, so that its caller can look at
 * the clock. Uses SIGALRM and the real-time interval timer. Does not nest. */
void interrupt_start(void);

void interrupt_stop(void);

#endif

/* Interrupts system calls that have no timeout: fcntl(2) with F_SETLKW, write(2) to a pipe. */
#ifndef DOORPOST_INTERRUPT_H
#define DOORPOST_INTERRUPT_H

/* Until interrupt_stop(), a blocking call in this thread fails with EINTR every 20 ms, so that its caller can
 * check its deadline. Uses SIGALRM and the real-time interval timer. Does not nest. */
void interrupt_start(void);

void interrupt_stop(void);

#endif

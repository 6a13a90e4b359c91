/* What the system says of the file system that a file is on. */
#ifndef DOORPOST_MOUNTS_H
#define DOORPOST_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* Finds the mount of `device` in an open /proc/self/mountinfo (proc_pid_mountinfo(5)) and copies its options,
 * those of the file system included. Returns false if it is not there. */
bool mounts_find(FILE *mountinfo, dev_t device, char *options, size_t size);

/* Returns the option with which an NFS mount keeps its locks to this machine (nfs(5)): "nolock",
 * "local_lock=all" or "local_lock=posix"; NULL if it does not. */
const char *mounts_local_locks(const char *options);

#endif

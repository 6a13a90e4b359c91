/* Mount options of the file system that holds a file. */
#ifndef DOORPOST_MOUNTS_H
#define DOORPOST_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* Finds the mount of `device` in an open /proc/self/mountinfo (proc_pid_mountinfo(5)) and copies its options,
 * including those of the file system. Returns false if it is not listed. */
bool mounts_find(FILE *mountinfo, dev_t device, char *options, size_t size);

/* Returns the option by which an NFS mount keeps its locks local to this machine (nfs(5)): "nolock",
 * "local_lock=all" or "local_lock=posix"; NULL if it has none. */
const char *mounts_local_locks(const char *options);

#endif

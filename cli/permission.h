/* Which users may read a file that this user may not. */
#ifndef DOORPOST_PERMISSION_H
#define DOORPOST_PERMISSION_H

#define HINT_SIZE 256
/* If this user may not read `path`, writes `: run this with sudo, or as USER, or as a member of the group
 * GROUP`; otherwise writes "". Returns `out`. */
const char *permission_hint(const char *path, char out[HINT_SIZE]);

#endif

#include "mounts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

/* Line format: ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD...] - TYPE SOURCE OPTIONS. */
static bool take_line(const char *line, dev_t device, char *options, size_t size) {
    unsigned parent, id, major_number, minor_number;
    if (sscanf(line, "%u %u %u:%u", &id, &parent, &major_number, &minor_number) != 4 ||
        makedev(major_number, minor_number) != device)
        return false;
    const char *rest = strstr(line, " - ");
    const char *own = line;
    for (int field = 0; field < 5 && own != NULL; field++)
        own = strchr(own + (field > 0), ' ');
    if (rest == NULL || own == NULL)
        return false;
    snprintf(options, size, "%.*s,%s", (int)strcspn(own + 1, " "), own + 1, strrchr(rest, ' ') + 1);
    options[strcspn(options, "\n")] = '\0';
    return true;
}

bool mounts_find(FILE *mountinfo, dev_t device, char *options, size_t size) {
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    while (getline(&line, &room, mountinfo) > 0)
        found |= take_line(line, device, options, size); /* the last one covers earlier ones */
    free(line);
    return found;
}

const char *mounts_local_locks(const char *options) {
    static const char *const local[] = {"nolock", "local_lock=all", "local_lock=posix"};
    for (const char *option = options; option != NULL; option = strchr(option, ',')) {
        option += *option == ',';
        size_t length = strcspn(option, ",");
        for (size_t i = 0; i < sizeof local / sizeof *local; i++)
            if (strlen(local[i]) == length && memcmp(option, local[i], length) == 0)
                return local[i];
    }
    return NULL;
}

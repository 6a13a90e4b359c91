#include "turns.h"

#include "options.h"

int turns_show(const char *where, const char *name, bool json) {
    (void)where, (void)name, (void)json;
    return problem("not yet");
}

int turns_show_failed(const char *where, const char *name, bool json) {
    (void)where, (void)name, (void)json;
    return problem("not yet");
}

int turns_drop(const char *where, const char *name, const char *id) {
    (void)where, (void)name, (void)id;
    return problem("not yet");
}

int turns_retry(const char *where, const char *name, const char *id, bool *to_run) {
    (void)where, (void)name, (void)id;
    *to_run = true;
    return STATUS_DONE;
}

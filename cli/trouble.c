#include "trouble.h"

#include "options.h"
#include "timestamp.h"

#include <string.h>

#define LONGEST_DELAY (60 * SECOND)
#define TELL_AGAIN (3600 * SECOND)

void trouble_tell(struct trouble *trouble, const struct reason *reason, const char *consequence) {
    int64_t now = monotonic_now();
    if (strcmp(trouble->told.text, reason->text) == 0 && now - trouble->told_at < TELL_AGAIN)
        return;
    problem("%s%s", reason->text, consequence);
    trouble->told = *reason;
    trouble->told_at = now;
}

void trouble_hold(struct trouble *trouble, const struct reason *reason, const char *consequence) {
    trouble_tell(trouble, reason, consequence);
    trouble->delay = trouble->delay == 0 ? SECOND : 2 * trouble->delay;
    if (trouble->delay > LONGEST_DELAY)
        trouble->delay = LONGEST_DELAY;
    trouble->again = monotonic_now() + trouble->delay;
}

void trouble_end(struct trouble *trouble) {
    trouble->delay = trouble->again = 0;
}

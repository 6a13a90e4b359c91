#include "backoff.h"

#include "options.h"
#include "timestamp.h"

#include <string.h>

#define LONGEST_DELAY (60 * SECOND)
#define TELL_AGAIN (3600 * SECOND)

void backoff_report(struct backoff *trouble, const struct reason *reason, const char *consequence) {
    int64_t now = monotonic_now();
    if (strcmp(trouble->reported.text, reason->text) == 0 && now - trouble->reported_at < TELL_AGAIN)
        return;
    problem("%s%s", reason->text, consequence);
    trouble->reported = *reason;
    trouble->reported_at = now;
}

void backoff_start(struct backoff *trouble, const struct reason *reason, const char *consequence) {
    backoff_report(trouble, reason, consequence);
    trouble->delay = trouble->delay == 0 ? SECOND : 2 * trouble->delay;
    if (trouble->delay > LONGEST_DELAY)
        trouble->delay = LONGEST_DELAY;
    trouble->again = monotonic_now() + trouble->delay;
}

void backoff_clear(struct backoff *trouble) {
    trouble->delay = trouble->again = 0;
}

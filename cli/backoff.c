#include "backoff.h"

#include "options.h"
#include "timestamp.h"

#include <string.h>

#define LONGEST_DELAY (60 * SECOND)
#define REPORT_AGAIN (3600 * SECOND)

void backoff_report(struct backoff *backoff, const struct reason *reason, const char *consequence) {
    int64_t now = monotonic_now();
    if (strcmp(backoff->reported.text, reason->text) == 0 && now - backoff->reported_at < REPORT_AGAIN)
        return;
    problem("%s%s", reason->text, consequence);
    backoff->reported = *reason;
    backoff->reported_at = now;
}

void backoff_start(struct backoff *backoff, const struct reason *reason, const char *consequence) {
    backoff_report(backoff, reason, consequence);
    int64_t longest = backoff->longest > 0 ? backoff->longest : LONGEST_DELAY;
    backoff->delay = backoff->delay == 0 ? SECOND : 2 * backoff->delay;
    if (backoff->delay > longest)
        backoff->delay = longest;
    backoff->again = monotonic_now() + backoff->delay;
}

void backoff_clear(struct backoff *backoff) {
    backoff->delay = backoff->again = 0;
}

void backoff_end(struct backoff *backoff) {
    backoff_clear(backoff);
    backoff->reported.text[0] = '\0';
}

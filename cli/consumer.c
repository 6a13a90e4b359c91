#include "consumer.h"

#include "failures.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

void consumer_print(const struct consumer *consumer) {
    printf("%s%s%s: %s, at %s, %" PRId64 " events and %" PRId64 " s behind, %" PRId64 " in flight, %" PRId64
           " to be retried, %s%" PRId64 " failed%s\n",
           colour(COLOUR_NAME), consumer->name, colour(COLOUR_NONE), consumer->state, consumer->place,
           consumer->behind, consumer->behind_seconds, consumer->in_flight, consumer->retrying,
           colour(consumer->failed > 0 ? COLOUR_BAD : COLOUR_NONE), consumer->failed, colour(COLOUR_NONE));
    if (consumer->warning != NULL)
        printf("  %s%s%s\n", colour(COLOUR_WARNING), consumer->warning, colour(COLOUR_NONE));
    if (consumer->last != NULL)
        failures_print(consumer->last, "  the last failure");
}

void consumer_describe(const struct consumer *consumer, struct json_object *one) {
    json_object_object_add(one, "behind", json_object_new_int64(consumer->behind));
    json_object_object_add(one, "behind_seconds", json_object_new_int64(consumer->behind_seconds));
    json_object_object_add(one, "in_flight", json_object_new_int64(consumer->in_flight));
    json_object_object_add(one, "retrying", json_object_new_int64(consumer->retrying));
    json_object_object_add(one, "waiting", json_object_new_int64(consumer->waiting));
    json_object_object_add(one, "failed", json_object_new_int64(consumer->failed));
    json_object_object_add(one, "last_failure", json_object_get(consumer->last));
}

void consumer_print_failures(const char *name, struct json_object *failures, struct json_object *report) {
    if (json_object_array_length(failures) == 0 && report == NULL && isatty(STDOUT_FILENO))
        printf("%s: no failed events\n", name);
    for (size_t i = 0; i < json_object_array_length(failures); i++) {
        struct json_object *one = json_object_array_get_idx(failures, i);
        if (report == NULL) {
            failures_print(one, name);
            continue;
        }
        json_object_object_add(one, "name", json_object_new_string(name));
        json_object_array_add(report, json_object_get(one));
    }
}

void consumer_print_retry(const char *name, int64_t number, bool running) {
    printf("Event %" PRId64 " will be retried by %s%s.\n", number, name,
           running ? " at once" : ", when it is started");
}

void consumer_explain_none(const char *only, const char *where, const char *from) {
    const char *option = from != NULL ? " --from " : "";
    const char *value = from != NULL ? from : "";
    if (only != NULL)
        explain_empty("No consumer %s in %s: list the consumers with `doorpost exec%s%s --status`.", only,
                      where, option, value);
    else
        explain_empty("No consumers in %s yet: start one with `doorpost exec%s%s --name NAME -- COMMAND`.",
                      where, option, value);
}

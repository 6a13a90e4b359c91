/* For test_differential.py: reads bodies from standard input, each preceded by its length (four bytes, native
 * byte order), and writes one answer for each in the same form: the result of event_parse(), as fields that
 * each end with a NUL. "taken" is followed by the identifiers, the type and the other members, anything else
 * by the reason. */
#include "event.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char answer[16384];
static size_t used;

static void say(const char *text, size_t length) {
    memcpy(answer + used, text, length);
    used += length;
    answer[used++] = '\0';
}

static void say_event(const struct event *event, const char *body, size_t length) {
    char number[24];
    struct span spans[2];
    const char *const fields[] = {event->request_id, event->id,     event->type,
                                  event->account,    event->device, event->sub_type};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        say(fields[i], strlen(fields[i]));
    say(number, (size_t)snprintf(number, sizeof number, "%" PRId64, event->timestamp));
    say(event->time_is_present ? "given" : "", event->time_is_present ? 5 : 0);
    if (event_identifiers(body, length, &spans[0], &spans[1]))
        for (int i = 0; i < 2; i++)
            say(spans[i].text, spans[i].length);
}

int main(void) {
    struct event_parser *parser = event_parser_new();
    uint32_t length;
    while (parser != NULL && fread(&length, sizeof length, 1, stdin) == 1) {
        static struct event event;
        struct reason reason;
        char *body = malloc(
            length > 0 ? length : 1); /* exactly sized, so that a sanitizer detects an overrun of one byte */
        if (body == NULL || fread(body, 1, length, stdin) != length)
            return 1;
        int result = event_parse(parser, body, length, &event, &reason);
        used = 0;
        if (result == 0) {
            say("taken", 5);
            say_event(&event, body, length);
        } else {
            say(result == ERROR_INVALID ? "refused" : "trouble", 7);
            say(reason.text, strlen(reason.text));
        }
        free(body);
        uint32_t wide = (uint32_t)used;
        if (fwrite(&wide, sizeof wide, 1, stdout) != 1 || fwrite(answer, 1, used, stdout) != used)
            return 1;
    }
    event_parser_free(parser);
    return fflush(stdout) != 0 || parser == NULL;
}

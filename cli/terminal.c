/* Colour, bars and local times are for people: piped output gets neither colour nor bars. */
#define _GNU_SOURCE /* strptime */
#include "terminal.h"

#include "error.h"
#include "options.h"
#include "quote.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BAR 30
#define REDRAW (SECOND / 10)

const char *colour(enum colour colour) {
    static const char *const codes[] = {
        [COLOUR_NONE] = "\033[0m", [COLOUR_GOOD] = "\033[32m", [COLOUR_WARNING] = "\033[33m",
        [COLOUR_BAD] = "\033[31m", [COLOUR_NAME] = "\033[36m", [COLOUR_FAINT] = "\033[2m"};
    static int wanted = -1;
    if (wanted < 0) {
        const char *no = getenv("NO_COLOR");
        const char *terminal = getenv("TERM");
        wanted = isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') &&
                 (terminal == NULL || strcmp(terminal, "dumb") != 0);
    }
    return wanted ? codes[colour] : "";
}

void explain_empty(const char *format, ...) {
    char text[1024];
    va_list arguments;
    if (!isatty(STDOUT_FILENO))
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_visibly(stderr, text, strlen(text));
    fputc('\n', stderr);
}

int terminal_width(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 ? size.ws_col : 80;
}

void progress_start(struct progress *progress, const char *what, uint64_t total) {
    *progress = (struct progress){.what = what, .total = total, .since = monotonic_now()};
    progress->drawn = isatty(STDERR_FILENO) ? 0 : INT64_MAX - SECOND;
}

void progress_show(struct progress *progress, uint64_t done) {
    int64_t now = monotonic_now();
    if (now - progress->since < SECOND || now < progress->drawn + REDRAW || progress->total == 0)
        return;
    progress->drawn = now;
    int filled = done >= progress->total ? BAR : (int)(done * BAR / progress->total);
    int64_t left = done > 0 ? (int64_t)((double)(now - progress->since) / (double)done *
                                        (double)(progress->total - done) / (double)SECOND)
                            : 0;
    fprintf(stderr, "\r%s [%.*s%*s] %3d%%  %d:%02d left ", progress->what, filled,
            "##############################", BAR - filled, "", (int)(done * 100 / progress->total),
            (int)(left / 60), (int)(left % 60));
}

void progress_end(struct progress *progress) {
    if (progress->drawn > 0 && progress->drawn < INT64_MAX - SECOND)
        fprintf(stderr, "\r\033[K");
}

/* Midnight `days` ago, in the chosen zone. */
static int64_t midnight(int64_t now, bool utc, int days) {
    time_t seconds = (time_t)(now / SECOND);
    struct tm parts;
    (void)(utc ? gmtime_r(&seconds, &parts) : localtime_r(&seconds, &parts));
    parts.tm_hour = parts.tm_min = parts.tm_sec = 0;
    parts.tm_mday -= days;
    parts.tm_isdst = -1;
    return (utc ? timegm(&parts) : mktime(&parts)) * SECOND;
}

/* Parses a date with or without a time of day. */
static int parse_date(const char *text, bool utc, int64_t *at) {
    static const char *const formats[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M",
                                          "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct tm parts = {.tm_isdst = -1};
        const char *end = strptime(text, formats[i], &parts);
        int day = parts.tm_mday;
        if (end == NULL || *end != '\0')
            continue;
        time_t seconds = utc ? timegm(&parts) : mktime(&parts);
        if (parts.tm_mday != day) /* such as the 31st of a month that has 30 days */
            return ERROR_INVALID;
        *at = (int64_t)seconds * SECOND;
        return 0;
    }
    return ERROR_INVALID;
}

/* Parses "2 hours ago", "2 hours", "2h ago", "2h". */
static int parse_ago(const char *text, int64_t now, int64_t *at) {
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {{"seconds", 1},      {"minutes", 60},   {"hours", 3600},
                 {"days", 86400},     {"weeks", 604800}, {"months", 2629746},
                 {"years", 31556952}, {"mins", 60},      {"hrs", 3600}};
    char unit[16], ago[4], more;
    long long count;
    int fields = sscanf(text, "%9lld%*1[ ]%15[a-z] %3[a-z]%c", &count, unit, ago, &more);
    if (fields < 2)
        fields = sscanf(text, "%9lld%15[a-z] %3[a-z]%c", &count, unit, ago, &more);
    if (fields < 2 || fields > 3 || count < 0 || (fields == 3 && strcmp(ago, "ago") != 0))
        return ERROR_INVALID;
    size_t length = strlen(unit);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t full = strlen(units[i].name);
        bool same = length == 1 || length >= full - 1
                        ? strncmp(unit, units[i].name, length) == 0 && length <= full
                        : false;
        if (same) {
            *at = now - count * units[i].seconds * SECOND;
            return 0;
        }
    }
    return ERROR_INVALID;
}

int when_parse(const char *text, bool utc, int64_t now, int64_t *at) {
    while (*text == ' ')
        text++;
    if (strcasecmp(text, "now") == 0)
        *at = now;
    else if (strcasecmp(text, "today") == 0)
        *at = midnight(now, utc, 0);
    else if (strcasecmp(text, "yesterday") == 0)
        *at = midnight(now, utc, 1);
    else if (text[0] == '@' && text[1] != '\0' && strspn(text + 1, "0123456789") == strlen(text + 1) &&
             strlen(text) <= 12)
        *at = strtoll(text + 1, NULL, 10) * SECOND;
    else if (timestamp_parse(text, strlen(text), at) != 0 && parse_date(text, utc, at) != 0 &&
             parse_ago(text, now, at) != 0)
        return ERROR_INVALID;
    return 0;
}

void when_format(int64_t at, bool utc, char out[WHEN_SIZE]) {
    time_t seconds = (time_t)(at / SECOND);
    struct tm parts;
    (void)(utc ? gmtime_r(&seconds, &parts) : localtime_r(&seconds, &parts));
    strftime(out, WHEN_SIZE, utc ? "%Y-%m-%d %H:%M:%SZ" : "%Y-%m-%d %H:%M:%S", &parts);
}

void print_visibly(FILE *out, const char *text, size_t length) {
    while (length > 0) {
        uint32_t character;
        char escaped[16];
        size_t taken = utf8_decode(text, length, &character);
        bool good = taken > 0 && (is_printable(character) || character == '\n' || character == '\t');
        if (taken == 0) { /* not UTF-8 */
            character = (unsigned char)*text;
            taken = 1;
        }
        size_t wide = good ? 0 : quote_character(escaped, character);
        fwrite(good ? text : escaped, 1, good ? taken : wide, out);
        text += taken;
        length -= taken;
    }
}

void print_text(const char *text, size_t length) {
    if (isatty(STDOUT_FILENO))
        print_visibly(stdout, text, length);
    else
        fwrite(text, 1, length, stdout);
}

int print_json(struct json_object *value) {
    const char *text = value != NULL ? json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN) : NULL;
    if (text == NULL)
        return problem("out of memory");
    print_text(text, strlen(text));
    putchar('\n');
    return STATUS_DONE;
}

const char *plain(const char *text, char *out, size_t size) {
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~' || *at == '"') {
            quote(out, size, text, strlen(text));
            return out;
        }
    return text;
}

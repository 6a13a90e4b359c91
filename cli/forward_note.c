/* Lines, the last of which may be missing:
 *
 *   forward
 *   1042 sent, 12 duplicates, 3 errors
 *   failing since 2026-11-23T12:00:00.123456Z: cannot connect ...
 *
 * or `failed at` if that is over. */
#include "forward_note.h"

#include "quote.h"
#include "timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEXT_SIZE 1024
#define COUNTS "forward\n%" PRIu64 " sent, %" PRIu64 " duplicates, %" PRIu64 " errors\n"
#define SCAN_COUNTS "forward\n%" SCNu64 " sent, %" SCNu64 " duplicates, %" SCNu64 " errors\n%n"

void forward_note_write(int lock, const struct forward_note *note) {
    char text[TEXT_SIZE], at[TIMESTAMP_SIZE];
    int length = snprintf(text, sizeof text, COUNTS, note->sent, note->duplicates, note->errors);
    if (note->error_at > 0) {
        timestamp_format(note->error_at, at);
        length += snprintf(text + length, sizeof text - (size_t)length, "%s %s: %s\n",
                           note->failing ? "failing since" : "failed at", at, note->error.text);
    }
    ssize_t written = pwrite(lock, text, (size_t)length, 0);
    (void)!(written == length && ftruncate(lock, length) == 0);
}

bool forward_note_read(int lock, struct forward_note *note) {
    char text[TEXT_SIZE];
    int used = 0;
    *note = (struct forward_note){0};
    ssize_t got = pread(lock, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    if (sscanf(text, SCAN_COUNTS, &note->sent, &note->duplicates, &note->errors, &used) != 3)
        return strncmp(text, "forward\n", 8) == 0;
    const char *line = used > 0 ? text + used : "";
    note->failing = strncmp(line, "failing since ", 14) == 0;
    if (!note->failing && strncmp(line, "failed at ", 10) != 0)
        return true;
    line += note->failing ? 14 : 10;
    if (strlen(line) <= TIMESTAMP_SIZE || timestamp_parse(line, TIMESTAMP_SIZE - 1, &note->error_at) != 0)
        return true;
    line += TIMESTAMP_SIZE + 1; /* ": " */
    snprintf(note->error.text, sizeof note->error.text, "%.*s", (int)strcspn(line, "\n"), line);
    return true;
}

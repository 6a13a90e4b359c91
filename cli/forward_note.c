/* Lines, the last of which may be missing:
 *
 *   forward
 *   1042 sent, 12 duplicates, 3 errors
 *   failing since 2026-11-23T12:00:00.123456Z: cannot connect ...
 *
 * or `failed at` if that is over. */
#include "forward_note.h"

#include "cursor.h"
#include "quote.h"
#include "timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_SIZE 1024
#define COUNTS "forward\n%" PRIu64 " sent, %" PRIu64 " duplicates, %" PRIu64 " errors\n"
#define SCAN_COUNTS "forward\n%" SCNu64 " sent, %" SCNu64 " duplicates, %" SCNu64 " errors\n%n"

/* Copies text that may come from a server with another encoding, or have been edited. */
static void copy_visibly(struct reason *out, const char *text, size_t length) {
    size_t used = 0, size;
    for (; length > 0; text += size, length -= size) {
        uint32_t character = 0;
        size = utf8_decode(text, length, &character);
        bool visible = size > 0 && is_printable(character);
        if (!visible)
            size = 1;
        if (used + size >= sizeof out->text)
            break;
        memcpy(out->text + used, visible ? text : "?", size);
        used += size;
    }
    out->text[used] = '\0';
}

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
    bool failing = strncmp(line, "failing since ", 14) == 0;
    if (!failing && strncmp(line, "failed at ", 10) != 0)
        return true;
    line += failing ? 14 : 10;
    if (strlen(line) <= TIMESTAMP_SIZE || timestamp_parse(line, TIMESTAMP_SIZE - 1, &note->error_at) != 0)
        return true;
    note->failing = failing;
    line += TIMESTAMP_SIZE + 1; /* ": " */
    copy_visibly(&note->error, line, strcspn(line, "\n"));
    return true;
}

bool forward_note_is_foreign(int lock) {
    struct forward_note note;
    struct stat status;
    return fstat(lock, &status) == 0 && status.st_size > 0 && !forward_note_read(lock, &note);
}

bool forward_note_find(int directory, const char *name, struct forward_note *note) {
    int lock = cursor_open_lock(directory, name, NULL);
    bool found = lock >= 0 && forward_note_read(lock, note);
    if (lock >= 0)
        close(lock);
    return found;
}

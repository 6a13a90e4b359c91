/* Two lines:
 *
 *   2
 *   program /usr/local/bin/on-press
 *
 * or `no program` and its name. The remains of an earlier, longer text after them are ignored. */
#include "runner_note.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_SIZE (COMMAND_PATH_SIZE + 64)

void runner_note_write(int lock, const struct runner_note *note) {
    char text[TEXT_SIZE];
    int length = snprintf(text, sizeof text, "%-20zu\n%sprogram %s\n", note->running,
                          note->missing ? "no " : "", note->program);
    ssize_t written = pwrite(lock, text, (size_t)length, 0);
    (void)written;
}

void runner_note_read(int lock, struct runner_note *note) {
    char text[TEXT_SIZE];
    ssize_t got = pread(lock, text, sizeof text - 1, 0);
    *note = (struct runner_note){0};
    text[got > 0 ? got : 0] = '\0';
    note->running = strtoul(text, NULL, 10);
    const char *line = strchr(text, '\n');
    if (line == NULL)
        return;
    note->missing = strncmp(line, "\nno ", 4) == 0;
    line += note->missing ? 4 : 1;
    if (strncmp(line, "program ", 8) == 0)
        snprintf(note->program, sizeof note->program, "%.*s", (int)strcspn(line + 8, "\n"), line + 8);
}

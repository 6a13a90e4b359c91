/* Damages the files that a consumer keeps with its cursor, at random: the events that are deferred, given up,
 * failed most recently, or requested. Then each file is read, changed and read again, as the runner and the
 * tool do:
 * - nothing is undefined, and what cannot be read is counted, or refused with a reason;
 * - an unchanged line is read, if any line can be;
 * - what is added is then there, with everything that could be read before; what is removed is not.
 * RUNS (3000), SEED and RUN are as in fuzz_files.c. Prints one line of TAP. */
#include "cursor.h"
#include "damage.h"
#include "failed.h"
#include "instructions.h"
#include "options.h"
#include "runs.h"
#include "waiting.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "main"
#define SLOT 128
#define ITEMS 40
#define SEEN 4096
#define FILE_SIZE 65536
#define NOON (INT64_C(1795435200) * SECOND)
#define FRESH UINT64_C(900000) /* a number that no line uses */

static char root[64];
static int directory, lock;

/* Discards the messages of the modules under test. */
int problem(const char *format, ...) {
    (void)format;
    return STATUS_PROBLEM;
}

/* ---- files ---- */

static const char *path_of(const char *suffix) {
    static char path[128];
    snprintf(path, sizeof path, "%s/cursors/" NAME "%s", root, suffix);
    return path;
}

static void put(const char *suffix, const void *bytes, size_t size) {
    int fd = open(path_of(suffix), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        die(suffix);
    close(fd);
}

/* Returns the size, or 0 if there is no such file. */
static size_t get(const char *suffix, uint8_t bytes[FILE_SIZE]) {
    int fd = open(path_of(suffix), O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, bytes, FILE_SIZE) : 0;
    if (size < 0)
        die(suffix);
    if (fd >= 0)
        close(fd);
    return (size_t)size;
}

/* ---- what is written, and what is read back ---- */

static char lines[2][ITEMS][1024]; /* of deferred events, and of those given up */
static size_t count[2];

struct seen {
    uint64_t seq[SEEN];
    size_t count;
};

static void note(struct seen *seen, uint64_t seq) {
    if (seen->count < SEEN)
        seen->seq[seen->count++] = seq;
    if (seq == 0 || seq > INT64_MAX)
        wrong("an event has the number %" PRIu64, seq);
}

static void note_item(void *context, const struct item *item) {
    note(context, item->seq);
    if (item->attempts < 0 || item->due < 0)
        wrong("event %" PRIu64 ": %d attempts, due %" PRId64, item->seq, item->attempts, item->due);
}

static void note_failure(void *context, const struct failure *failure) {
    note(context, failure->seq);
    if (strlen(failure->output) != failure->output_length || failure->attempts < 0)
        wrong("event %" PRIu64 ": its output has another length", failure->seq);
}

static void note_instruction(void *context, enum instruction what, uint64_t seq) {
    (void)context, (void)what, (void)seq;
}

static bool has(const struct seen *seen, uint64_t seq) {
    for (size_t i = 0; i < seen->count; i++)
        if (seen->seq[i] == seq)
            return true;
    return false;
}

/* Expects all of these, except for one number. */
static void expect_all(const struct seen *before, const struct seen *after, uint64_t but, const char *when) {
    for (size_t i = 0; i < before->count; i++)
        if (before->seq[i] != but && !has(after, before->seq[i]))
            wrong("%s, event %" PRIu64 " is not there any more", when, before->seq[i]);
}

static uint64_t seq_of(size_t number) {
    return 100 + number;
}

static void write_waiting(void) {
    static char text[2 * ITEMS * SLOT];
    size_t used = 0;
    count[0] = draw(ITEMS);
    for (size_t i = 0; i < count[0]; i++) {
        for (; one_in(5) && used < ITEMS * SLOT; used += SLOT)
            snprintf(text + used, SLOT + 1, "%127s\n", "");
        char line[SLOT];
        snprintf(line, sizeof line,
                 "[%" PRIu64 ",\"2026-11-23\",%zu,\"%016" PRIx64 "\",\"%016" PRIx64 "\",%zu,%zu]", seq_of(i),
                 draw(100000), mix(draw(100)), mix(draw(4)), draw(7), draw(2) * 1795420800);
        snprintf(lines[0][i], sizeof lines[0][i], "%-127s\n", line);
        memcpy(text + used, lines[0][i], SLOT);
        used += SLOT;
    }
    put(".waiting", text, used);
}

static void write_failed(const char *suffix) {
    static char text[ITEMS * sizeof lines[0][0]];
    size_t used = 0;
    count[1] = draw(ITEMS);
    for (size_t i = 0; i < count[1]; i++) {
        snprintf(lines[1][i], sizeof lines[1][i],
                 "{\"seq\":%" PRIu64 ",\"day\":\"2026-11-23\",\"offset\":%zu,\"event_id\":\"e%zu\",\"at\":"
                 "\"2026-11-23T12:00:00.000000Z\",\"attempts\":%zu,\"how\":\"exit status "
                 "1\",\"output\":\"%s\"}\n",
                 seq_of(i), draw(100000), i, 1 + draw(6), one_in(2) ? "no\\nroute\\u001b to host" : "");
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", lines[1][i]);
    }
    put(suffix, text, used);
}

static void write_instructions(void) {
    char text[256] = "";
    for (size_t i = draw(5), used = 0; i > 0; i--)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %zu\n", one_in(2) ? "drop" : "retry",
                                 draw(200));
    put(".instructions", text, strlen(text));
}

static void damage(void) {
    static const char *const suffixes[] = {"",        ".waiting", ".waiting",     ".failed",
                                           ".failed", ".recent",  ".instructions"};
    static uint8_t bytes[FILE_SIZE], other[FILE_SIZE];
    const char *suffix = suffixes[draw(sizeof suffixes / sizeof *suffixes)];
    size_t size = get(suffix, bytes), others = get(suffixes[draw(sizeof suffixes / sizeof *suffixes)], other);
    unsigned kind = (unsigned)draw(DAMAGES);
    if (size == 0 || others == 0 || size > FILE_SIZE / 2)
        return;
    size_t now = damage_do(kind, bytes, size, other, others);
    print_verbose(NAME "%s: %s, %zu bytes, now %zd", suffix, damage_name(kind), size, (ssize_t)now);
    if (now == SIZE_MAX)
        unlink(path_of(suffix));
    else
        put(suffix, bytes, now);
}

/* ---- reading, changing, reading again ---- */

static void check_waiting(void) {
    static struct seen first, second;
    static uint8_t bytes[FILE_SIZE];
    struct reason reason = {""};
    struct waiting waiting = {0};
    struct queues *queues = queues_new();
    size_t size = get(".waiting", bytes), blank = 0, slots = (size + SLOT - 1) / SLOT;
    first.count = second.count = 0;
    int damaged = waiting_each(directory, NAME, note_item, &first, &reason);
    for (size_t slot = 0; slot < slots; slot++) {
        const uint8_t *at = bytes + slot * SLOT;
        size_t length = size - slot * SLOT < SLOT ? size - slot * SLOT : SLOT, spaces = 0;
        while (spaces < length && (at[spaces] == ' ' || at[spaces] == '\n'))
            spaces++;
        blank += spaces == length;
        for (size_t i = 0; length == SLOT && i < count[0]; i++)
            if (memcmp(at, lines[0][i], SLOT) == 0 && !has(&first, seq_of(i)))
                wrong("event %" PRIu64 " is set aside, and is not read", seq_of(i));
    }
    if (damaged < 0 || first.count + (size_t)damaged + blank != slots)
        wrong("%zu slots: %zu events, %d damaged, %zu empty: %s", slots, first.count, damaged, blank,
              reason.text);
    if (queues == NULL || waiting_load(directory, NAME, queues, NOON, &reason) != 0 ||
        queues_count(queues) != first.count ||
        waiting_save(&waiting, directory, NAME, queues, &reason) != 0 ||
        (damaged = waiting_each(directory, NAME, note_item, &second, &reason)) < 0)
        wrong("what is set aside cannot be kept: %s", reason.text);
    expect_all(&first, &second, 0, "saved");
    if (first.count > 0 && (damaged > 0 || second.count != first.count))
        wrong("%zu events were saved, and %zu are read, %d damaged", first.count, second.count, damaged);
    queues_free(queues);
}

/* Returns true if the file contains the line as one whole line. */
static bool is_intact(const uint8_t *bytes, size_t size, const char *line) {
    size_t length = strlen(line);
    for (size_t at = 0; at + length <= size; at++)
        if ((at == 0 || bytes[at - 1] == '\n') && memcmp(bytes + at, line, length) == 0)
            return true;
    return false;
}

static void check_failed(void) {
    static struct seen first, second, third;
    static uint8_t bytes[FILE_SIZE];
    struct reason reason = {""};
    const struct failure failure = {.seq = FRESH,
                                    .position = {.day = 20000, .offset = 5},
                                    .event_id = "fresh",
                                    .how = "exit status 3",
                                    .output = "said\x1b",
                                    .output_length = 5,
                                    .attempts = 7,
                                    .at = NOON};
    size_t size = get(".failed", bytes);
    first.count = second.count = third.count = 0;
    if (failed_each(directory, lock, NAME, note_failure, &first, &reason) < 0)
        wrong("the list cannot be read: %s", reason.text);
    for (size_t i = 0; i < count[1]; i++)
        if (is_intact(bytes, size, lines[1][i]) && !has(&first, seq_of(i)))
            wrong("event %" PRIu64 " was given up, and is not read", seq_of(i));
    if (failed_reserve(directory, lock, NAME, &reason) != 0 ||
        failed_add(directory, lock, NAME, &failure, &reason) != 0 ||
        failed_each(directory, lock, NAME, note_failure, &second, &reason) < 0)
        wrong("nothing can be added: %s", reason.text);
    if (!has(&second, FRESH))
        wrong("what was added cannot be read");
    expect_all(&first, &second, 0, "after another was added");
    if (failed_remove(directory, lock, NAME, FRESH, &reason) != 0 ||
        failed_each(directory, lock, NAME, note_failure, &third, &reason) < 0)
        wrong("nothing can be removed: %s", reason.text);
    if (has(&third, FRESH))
        wrong("what was removed is there");
    expect_all(&first, &third, 0, "after another was removed");
    third.count = 0;
    failed_each_recent(directory, NAME, note_failure, &third, &reason);
    failed_note(directory, NAME, &failure);
    third.count = 0;
    if (failed_each_recent(directory, NAME, note_failure, &third, &reason) < 0 || !has(&third, FRESH))
        wrong("the newest failure cannot be read");
}

static void check_instructions(void) {
    struct reason reason = {""};
    if (instructions_each(directory, NAME, note_instruction, NULL, &reason) < 0)
        wrong("what the runner is to do cannot be read: %s", reason.text);
    instructions_forget(directory, NAME);
}

static void check_cursor(void) {
    static struct cursor cursor;
    struct reason reason = {""};
    if (cursor_read(directory, NAME, &cursor, &reason) < 0 && reason.text[0] == '\0')
        wrong("a cursor is refused without a word");
}

static void run(void) {
    static const char place[] =
        "{\"day\":\"2026-11-23\",\"offset\":400,\"seq\":3,\"done\":[[5,5]],\"retry\":[[4,1,0]]}\n";
    put("", place, sizeof place - 1);
    write_waiting();
    write_failed(".recent");
    write_failed(".failed");
    write_instructions();
    for (size_t i = draw(5); i > 0; i--)
        damage();
    check_cursor();
    check_waiting();
    check_failed();
    check_instructions();
}

int main(void) {
    struct reason reason = {""};
    snprintf(root, sizeof root, "%s/doorpost-lists-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(root) == NULL || (directory = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
        (lock = cursor_open_lock(directory, NAME, &reason)) < 0)
        die(root);
    int status = runs_do(3000, run, "damaged lists", "damage to what a consumer keeps is got over");
    static const char *const left[] = {"",        ".lock",        ".waiting", ".failed", ".failed.new",
                                       ".recent", ".instructions"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        unlink(path_of(left[i]));
    close(lock);
    close(directory);
    snprintf(root + strlen(root), sizeof root - strlen(root), "/cursors");
    rmdir(root);
    *strrchr(root, '/') = '\0';
    rmdir(root);
    return status;
}

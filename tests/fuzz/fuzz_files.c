/* Damages the files of a journal, its index and its cursors at random while a writer has them open, then
 * continues: new events and repetitions, through that writer and through new ones. Whatever was damaged, an
 * independent reading of the day files determines each answer:
 * - a new event is stored, and is then in the day files, whole, once;
 * - an event with a whole line in the day it was stored in is a duplicate;
 * - an event whose line was damaged is stored again, or is a duplicate if its identifiers are there;
 * - no whole line is destroyed, its number is not given again, and what is cut off is kept in damaged/;
 * - errors end after a few attempts, because everything else is rebuilt from the lines.
 * RUNS is the number of runs (300), SEED the random seed, RUN the number of a single run with verbose output.
 * Prints one line of TAP. */
#define _GNU_SOURCE /* memmem */
#include "cursor.h"
#include "damage.h"
#include "journal.h"
#include "record.h"
#include "runs.h"
#include "segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASES 24
#define EVENTS 160
#define BODY_SIZE 256
#define LINES 4 /* of one event, including damaged ones */
#define FILES 64
#define PATH_SIZE 288  /* a directory, a slash, and any name */
#define ATTEMPTS_MAX 3 /* attempts in a row that may fail */
#define BATCH 16
#define NOON (1795435200 * INT64_C(1000000)) /* of 2026-11-23 */
#define DAY (86400 * INT64_C(1000000))
#define LINE_START "{\"seq\":"

/* ---- files ---- */

static char root[64]; /* the journal's parent directory */
static const char *const directories[] = {".", "seen", "cursors", "rejected", "damaged"};
#define DIRECTORIES (sizeof directories / sizeof *directories)

struct file {
    char path[PATH_SIZE];
    uint8_t *bytes;
    size_t size;
};

struct tree {
    struct file file[FILES];
    size_t count;
};

static const char *path_in(const char *name) {
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/journal/%s", root, name);
    return path;
}

static void read_whole(const char *name, struct file *file) {
    struct stat status;
    int descriptor = open(path_in(name), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        die(name);
    snprintf(file->path, sizeof file->path, "%s", name);
    file->size = (size_t)status.st_size;
    file->bytes = malloc(file->size + 1);
    if (file->bytes == NULL || read(descriptor, file->bytes, file->size) != (ssize_t)file->size)
        die(name);
    close(descriptor);
}

/* Calls visit for each file of a directory, with its path relative to the journal. */
static void each_file(const char *directory, void (*visit)(void *context, const char *path), void *context) {
    DIR *stream = opendir(path_in(directory));
    const struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        char path[PATH_SIZE];
        struct stat status;
        snprintf(path, sizeof path, "%s%s%s", directory[0] == '.' ? "" : directory,
                 directory[0] == '.' ? "" : "/", entry->d_name);
        if (stat(path_in(path), &status) == 0 && S_ISREG(status.st_mode))
            visit(context, path);
    }
    if (stream != NULL)
        closedir(stream);
}

static void take_file(void *context, const char *path) {
    struct tree *tree = context;
    if (tree->count == FILES)
        die("too many files");
    read_whole(path, &tree->file[tree->count++]);
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

/* Reads the files of the directories from `first` to before `last`, in an order independent of the file
 * system. */
static void read_tree(struct tree *tree, size_t first, size_t last) {
    tree->count = 0;
    for (size_t i = first; i < last; i++)
        each_file(directories[i], take_file, tree);
    qsort(tree->file, tree->count, sizeof *tree->file, by_path);
}

static void free_tree(struct tree *tree) {
    for (size_t i = 0; i < tree->count; i++)
        free(tree->file[i].bytes);
    tree->count = 0;
}

static void write_whole(const char *name, const uint8_t *bytes, size_t size, bool new_file) {
    if (new_file)
        unlink(path_in(name));
    int fd = open(path_in(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        die(name);
    close(fd);
}

static void remove_file(void *context, const char *path) {
    (void)context;
    unlink(path_in(path));
}

static void remove_journal(void) {
    for (size_t i = DIRECTORIES; i-- > 0;) {
        each_file(directories[i], remove_file, NULL);
        rmdir(path_in(directories[i]));
    }
    rmdir(path_in(""));
}

static void lay_out(const struct tree *tree) {
    remove_journal();
    mkdir(path_in(""), 0700);
    for (size_t i = 0; i < tree->count; i++) {
        const char *slash = strchr(tree->file[i].path, '/');
        char directory[PATH_SIZE];
        snprintf(directory, sizeof directory, "%.*s", slash != NULL ? (int)(slash - tree->file[i].path) : 1,
                 slash != NULL ? tree->file[i].path : ".");
        mkdir(path_in(directory), 0700);
        write_whole(tree->file[i].path, tree->file[i].bytes, tree->file[i].size, false);
    }
}

/* ---- what was stored, and what is left of it ---- */

struct line_sent {
    char text[RECORD_HEADER_SIZE + BODY_SIZE];
    size_t length;
    char day[SEGMENT_NAME_SIZE]; /* the file it was stored in */
    bool whole, at_home;         /* when last looked for: in any day, and in its own */
};

struct sent {
    size_t count;
    struct line_sent line[LINES];
};

static struct sent sent[EVENTS];

/* The day files, each followed by a line break, because the last line of a file may lack its own. */
static char *days, *days_before; /* now, and before the last append */
static size_t days_length, days_before_length;

static const char *request_of(size_t number) {
    static char id[32];
    snprintf(id, sizeof id, "r-%016" PRIx64, mix(2 * number));
    return id;
}

static const char *id_of(size_t number) {
    static char id[32];
    snprintf(id, sizeof id, "e-%016" PRIx64, mix(2 * number + 1));
    return id;
}

static size_t make_body(size_t number, char out[BODY_SIZE]) {
    return (size_t)snprintf(out, BODY_SIZE,
                            "{\"meta\":{\"request_id\":\"%s\"},\"data\":{\"id\":\"%s\",\"type\":\"t\"}}",
                            request_of(number), id_of(number));
}

static bool is_day(const char *name) {
    return strlen(name) == strlen("2026-11-23.jsonl") && strcmp(name + 10, ".jsonl") == 0;
}

/* Returns true if the end of the line at `end` is recognizable: by a line break or, if that was damaged, by
 * the line after it. */
static bool ends_well(const char *end) {
    size_t left = (size_t)(days + days_length - end);
    return *end == '\n' || (left > 1 && memcmp(end, "\r\n", 2) == 0) ||
           (left > sizeof LINE_START && memcmp(end + 1, LINE_START, sizeof LINE_START - 1) == 0);
}

static struct tree tree; /* the same by file, including the other files */

/* The name of the day file that contains position `at` of `days`. */
static const char *day_of(const char *at) {
    const char *end = days;
    size_t i = 0;
    while ((end += is_day(tree.file[i].path) ? tree.file[i].size + 1 : 0) <= at)
        i++;
    return tree.file[i].path;
}

static void look_for(struct line_sent *line) {
    const char *at = days, *end = days + days_length;
    line->whole = line->at_home = false;
    for (; !line->at_home && (at = memmem(at, (size_t)(end - at), line->text, line->length)) != NULL; at++)
        if (ends_well(at + line->length)) {
            line->whole = true;
            line->at_home = strcmp(day_of(at), line->day) == 0;
        }
}

static void look(void) {
    free_tree(&tree);
    read_tree(&tree, 0, 1);
    free(days);
    days_length = 0;
    for (size_t i = 0; i < tree.count; i++)
        days_length += tree.file[i].size + 1;
    days = malloc(days_length + 1);
    if (days == NULL)
        die("malloc");
    days_length = 0;
    for (size_t i = 0; i < tree.count; i++)
        if (is_day(tree.file[i].path)) {
            memcpy(days + days_length, tree.file[i].bytes, tree.file[i].size);
            days_length += tree.file[i].size;
            days[days_length++] = '\n';
        }
    days[days_length] = '\0';
    for (size_t i = 0; i < EVENTS; i++)
        for (size_t j = 0; j < sent[i].count; j++)
            look_for(&sent[i].line[j]);
}

/* A copy that damage has put into another day, while the original was damaged, does not count: the index
 * leads to the original's day, and reading all days for each new event would cost too much. */
static bool any_at_home(size_t number) {
    for (size_t i = 0; i < sent[number].count; i++)
        if (sent[number].line[i].at_home)
            return true;
    return false;
}

static bool any_whole(size_t number) {
    for (size_t i = 0; i < sent[number].count; i++)
        if (sent[number].line[i].whole)
            return true;
    return false;
}

/* Returns true if the day files contain one of its identifiers. */
static bool is_mentioned(size_t number) {
    return memmem(days, days_length, id_of(number), strlen(id_of(number))) != NULL ||
           memmem(days, days_length, request_of(number), strlen(request_of(number))) != NULL;
}

/* The number in a line. */
static uint64_t seq_of(const char *text) {
    return strtoull(text + sizeof LINE_START - 1, NULL, 10);
}

/* Finds the line of an event that was just stored, and keeps one. Returns how many such lines are new. */
static unsigned find_stored(size_t number, uint64_t seq) {
    char start[48];
    int length = snprintf(start, sizeof start, LINE_START "%" PRIu64 ",", seq);
    char body[BODY_SIZE];
    size_t body_length = make_body(number, body);
    unsigned found = 0;
    for (const char *at = days;
         (at = memmem(at, (size_t)(days + days_length - at), start, (size_t)length)) != NULL; at++) {
        const char *line_break = memchr(at, '\n', (size_t)(days + days_length - at));
        size_t whole = line_break != NULL ? (size_t)(line_break - at) : 0;
        if (whole < body_length + 1 || whole > sizeof sent[0].line[0].text ||
            memcmp(line_break - 1 - body_length, body, body_length) != 0 ||
            memmem(days_before, days_before_length, at, whole) != NULL)
            continue;
        struct sent *event = &sent[number];
        if (found++ == 0 && event->count < LINES) {
            struct line_sent *line = &event->line[event->count++];
            *line = (struct line_sent){.length = whole, .whole = true, .at_home = true};
            memcpy(line->text, at, whole);
            snprintf(line->day, sizeof line->day, "%s", day_of(at));
        }
    }
    return found;
}

/* ---- deliveries ---- */

static int64_t now;
static struct event_parser *parser;

static int64_t clock_of_the_test(void) {
    return now;
}

struct delivery {
    size_t number;
    bool was_at_home, was_mentioned;
    char body[BODY_SIZE];
    struct event event;
    struct entry entry;
};

static void prepare(struct delivery *delivery, size_t number) {
    static const char signature[] = "sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    size_t length = make_body(number, delivery->body);
    delivery->number = number;
    delivery->was_at_home = any_at_home(number);
    delivery->was_mentioned = is_mentioned(number);
    if (event_parse(parser, delivery->body, length, &delivery->event, NULL) != 0)
        die("event_parse");
    delivery->entry = (struct entry){.body = delivery->body,
                                     .length = length,
                                     .key = "9f86d081",
                                     .signature = signature,
                                     .received_at = now++, /* makes every line different */
                                     .event = &delivery->event};
}

static void judge(const struct delivery *delivery) {
    size_t number = delivery->number;
    struct sent *event = &sent[number];
    uint64_t seq = delivery->entry.seq;
    bool matches = false;
    if (delivery->entry.disposition == DISPOSITION_STORED) {
        if (delivery->was_at_home)
            wrong("event %zu, of which a line is whole, is stored again as %" PRIu64, number, seq);
        for (size_t i = 0; i < EVENTS; i++)
            for (size_t j = 0; j < sent[i].count; j++)
                if (i != number && sent[i].line[j].whole && seq_of(sent[i].line[j].text) == seq)
                    wrong("event %zu was stored with number %" PRIu64 ", which event %zu has", number, seq,
                          i);
        unsigned found = find_stored(number, seq);
        if (found != 1)
            wrong("event %zu was stored as %" PRIu64 ", and there are %u such lines", number, seq, found);
    } else if (delivery->entry.disposition == DISPOSITION_DUPLICATE) {
        for (size_t i = 0; i < event->count; i++)
            matches |= event->line[i].whole && seq_of(event->line[i].text) == seq;
        if (!delivery->was_mentioned)
            wrong("event %zu, which is %s, is called a duplicate of %" PRIu64, number,
                  event->count > 0 ? "gone" : "new", seq);
        else if (any_whole(number) && !matches)
            wrong("event %zu is called a duplicate of %" PRIu64 ", which is another line", number, seq);
    } else
        wrong("event %zu was neither stored nor a duplicate: %d", number, (int)delivery->entry.disposition);
}

/* The lines that were whole before an append; they must be whole after it. */
static bool before[EVENTS][LINES];

static void note_whole_lines(void) {
    free(days_before);
    days_before = malloc(days_length + 1);
    if (days_before == NULL)
        die("malloc");
    memcpy(days_before, days, days_length);
    days_before_length = days_length;
    for (size_t i = 0; i < EVENTS; i++)
        for (size_t j = 0; j < sent[i].count; j++)
            before[i][j] = sent[i].line[j].whole;
}

static void check_whole_lines(void) {
    for (size_t i = 0; i < EVENTS; i++)
        for (size_t j = 0; j < sent[i].count; j++)
            if (before[i][j] && !sent[i].line[j].whole)
                wrong("a whole line was destroyed, of event %zu: %.*s", i, (int)sent[i].line[j].length,
                      sent[i].line[j].text);
    memset(before, 0, sizeof before);
}

static size_t common(const struct file *a, const struct file *b) {
    size_t same = 0;
    while (same < a->size && same < b->size && a->bytes[same] == b->bytes[same])
        same++;
    return same;
}

/* Returns true if damaged/ holds the contents of day `old` from byte `same` or earlier on. The line written
 * in its place may begin with the same bytes. */
static bool is_kept_apart(const struct file *old, size_t same) {
    static struct tree kept;
    bool found = false;
    read_tree(&kept, DIRECTORIES - 1, DIRECTORIES);
    for (size_t i = 0; i < kept.count; i++) {
        const struct file *file = &kept.file[i];
        const char *name = file->path + sizeof "damaged/" - 1;
        if (strncmp(name, old->path, DAY_SIZE - 1) != 0 || name[DAY_SIZE - 1] != '-')
            continue;
        size_t at = strtoul(name + DAY_SIZE, NULL, 10), length = old->size - at;
        found |= at <= same && file->size >= length &&
                 memcmp(file->bytes + file->size - length, old->bytes + at, length) == 0;
    }
    free_tree(&kept);
    return found;
}

/* Returns true if these bytes were once part of a line. Bytes that the damage added need not be kept. */
static bool is_of_a_line(const uint8_t *bytes, size_t length) {
    static const char *const parts[] = {LINE_START,
                                        "\"signature\":", "\"chain\":", "\"event\":", "\"data\":"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (memmem(bytes, length, parts[i], strlen(parts[i])) != NULL)
            return true;
    return false;
}

/* The day files are unchanged, except for lines added at the end, or an end cut off and kept. A damaged line
 * break may be repaired, which changes one byte. */
static void check_cuts(const struct tree *old) {
    for (size_t i = 0; i < old->count; i++) {
        const struct file *was = &old->file[i], *is = NULL;
        for (size_t j = 0; j < tree.count; j++)
            if (strcmp(tree.file[j].path, was->path) == 0)
                is = &tree.file[j];
        if (!is_day(was->path))
            continue;
        if (is == NULL) {
            wrong("%s was deleted", was->path);
            continue;
        }
        size_t same = common(was, is), start = same;
        while (start > 0 && was->bytes[start - 1] != '\n')
            start--;
        if (was->size - same > 1 && is_of_a_line(was->bytes + start, was->size - start) &&
            !is_kept_apart(was, same))
            wrong("%s was cut off at byte %zu of %zu, or before, and nothing kept", was->path, same,
                  was->size);
    }
}

/* Delivers them as a batch, and retries those that failed. */
static void deliver(struct journal *journal, const size_t numbers[], size_t count) {
    static struct delivery delivery[BATCH];
    struct entry *entries[BATCH];
    size_t left = count;
    struct reason reason = {""};
    look();
    for (size_t i = 0; i < count; i++)
        prepare(&delivery[i], numbers[i]);
    for (unsigned attempt = 0; left > 0; attempt++) {
        struct deadline deadline = {.at = monotonic_now() + 5000000};
        size_t waiting = 0;
        if (attempt > ATTEMPTS_MAX) {
            wrong("trouble stays: %s", reason.text);
            return;
        }
        for (size_t i = 0; i < left; i++)
            entries[i] = &delivery[i].entry;
        note_whole_lines();
        struct tree old = tree;
        tree.count = 0;
        journal_append(journal, entries, left, &deadline);
        (void)journal_upkeep(journal, &deadline, &(struct reason){""});
        look();
        check_whole_lines();
        check_cuts(&old);
        free_tree(&old);
        for (size_t i = 0; i < left; i++) {
            print_verbose("event %zu: disposition %d, number %" PRIu64 " %s", delivery[i].number,
                          (int)delivery[i].entry.disposition, delivery[i].entry.seq,
                          delivery[i].entry.reason.text);
            if (delivery[i].entry.disposition != DISPOSITION_UNAVAILABLE) {
                judge(&delivery[i]);
                continue;
            }
            reason = delivery[i].entry.reason;
            prepare(&delivery[waiting++], delivery[i].number); /* lines written since then count */
        }
        left = waiting;
    }
}

static struct journal *open_journal(void) {
    struct journal *journal = journal_new(path_in(""), 0);
    if (journal == NULL)
        die("journal_new");
    journal_set_clock(journal, clock_of_the_test);
    return journal;
}

/* ---- bases: undamaged journals ---- */

struct base {
    struct tree tree;
    struct sent sent[EVENTS];
    size_t next; /* the number of the next new event */
    int64_t now;
};

static struct base *bases[BASES];

static void write_cursor(size_t number) {
    char text[160];
    uint64_t seq = sent[number].count > 0 ? seq_of(sent[number].line[0].text) : 0;
    int length = snprintf(text, sizeof text,
                          "{\"day\":\"2026-11-23\",\"offset\":%zu,\"seq\":%" PRIu64 ",\"done\":[[%" PRIu64
                          ",%" PRIu64 "]],\"retry\":[]}\n",
                          draw(400), seq, seq + 2, seq + 2);
    mkdir(path_in("cursors"), 0700);
    write_whole("cursors/main", (const uint8_t *)text, (size_t)length, true);
}

static void make_base(size_t index) {
    struct base *base = calloc(1, sizeof *base);
    if (base == NULL)
        die("calloc");
    bases[index] = base;
    draw_from(index);
    now = NOON;
    memset(sent, 0, sizeof sent);
    remove_journal();
    mkdir(path_in(""), 0700);
    struct journal *journal = open_journal();
    for (size_t count = 1 + draw(40); base->next < count;) {
        size_t numbers[4], batch = 1 + draw(4);
        for (size_t i = 0; i < batch; i++)
            numbers[i] = base->next++;
        deliver(journal, numbers, batch);
        if (draw(8) == 0)
            now += DAY;
    }
    journal_free(journal);
    write_cursor(draw(base->next));
    read_tree(&base->tree, 0, DIRECTORIES);
    memcpy(base->sent, sent, sizeof sent);
    base->now = now;
}

/* ---- damage ---- */

static void keep_only(struct tree *from, bool (*wanted)(const char *path)) {
    size_t kept = 0;
    for (size_t i = 0; i < from->count; i++)
        if (wanted(from->file[i].path) && from->file[i].size > 0)
            from->file[kept++] = from->file[i];
        else
            free(from->file[i].bytes);
    from->count = kept;
}

static bool is_of_index(const char *path) {
    return strncmp(path, "seen/", 5) == 0;
}

static bool is_cursor(const char *path) {
    return strcmp(path, "cursors/main") == 0;
}

static void damage(void) {
    static struct tree there;
    bool (*const wanted[])(const char *path) = {is_day, is_of_index, is_day, is_of_index, is_cursor};
    read_tree(&there, 0, 3);
    keep_only(&there, wanted[draw(5)]);
    if (there.count > 0) {
        struct file *file = &there.file[draw(there.count)];
        const struct file *other = &there.file[draw(there.count)];
        unsigned kind = (unsigned)draw(DAMAGES);
        bool in_place = draw(2) == 0;
        uint8_t *bytes = malloc(file->size + DAMAGE_GROWS);
        if (bytes == NULL)
            die("malloc");
        memcpy(bytes, file->bytes, file->size);
        size_t size = damage_do(kind, bytes, file->size, other->bytes, other->size);
        print_verbose("%s: %s%s, %zu bytes, now %zd", file->path, damage_name(kind),
                      in_place ? " in place" : "", file->size, (ssize_t)size);
        if (size == SIZE_MAX)
            unlink(path_in(file->path));
        else
            write_whole(file->path, bytes, size, !in_place);
        free(bytes);
    }
    free_tree(&there);
}

/* A damaged cursor is read or refused. */
static void read_cursor(void) {
    static struct cursor cursor;
    struct reason reason = {""};
    int fd = open(path_in(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd >= 0 ? cursor_read(fd, "main", &cursor, &reason) : 1;
    if (result < 0 && reason.text[0] == '\0')
        wrong("a cursor is refused without a word");
    close(fd);
}

/* ---- a run ---- */

static void go_on(struct journal *journal, size_t *next) {
    size_t numbers[BATCH], count = draw(3) == 0 ? 1 + draw(5) : 1, fresh = 0;
    for (size_t i = 0; i < count; i++) {
        numbers[i] = draw(2) == 0 && *next < EVENTS - 1 ? *next + fresh++ : draw(*next);
        for (size_t j = 0; j < i; j++)
            if (numbers[j] == numbers[i])
                count = i; /* no event twice in a batch: another test checks which of two is the first */
    }
    deliver(journal, numbers, count);
    for (size_t i = 0; i < count; i++)
        if (numbers[i] >= *next)
            *next = numbers[i] + 1;
    if (draw(10) == 0)
        now += DAY;
}

static void repeat_all(struct journal *journal, size_t next) {
    size_t numbers[BATCH];
    for (size_t number = 0; number < next;) {
        size_t count = 0;
        while (count < BATCH && number < next)
            numbers[count++] = number++;
        deliver(journal, numbers, count);
    }
}

static void run(void) {
    const struct base *base = bases[draw(BASES)];
    size_t next = base->next;
    memcpy(sent, base->sent, sizeof sent);
    now = base->now;
    lay_out(&base->tree);
    struct journal *journal = open_journal(), *later = NULL;
    for (size_t i = 1 + draw(2); i > 0;
         i--) /* the restored index is a copy: this makes the journal create its own */
        go_on(journal, &next);
    for (size_t round = 1 + draw(2); round > 0; round--) {
        for (size_t i = 1 + draw(3); i > 0; i--)
            damage();
        read_cursor();
        for (size_t i = 1 + draw(4); i > 0; i--) {
            if (draw(4) == 0) {
                journal_free(later);
                later = open_journal();
            }
            go_on(later != NULL && draw(2) == 0 ? later : journal, &next);
        }
    }
    journal_free(later);
    later = open_journal();
    repeat_all(later, next);
    go_on(later, &next);
    go_on(journal, &next);
    journal_free(later);
    journal_free(journal);
}

int main(void) {
    snprintf(root, sizeof root, "%s/doorpost-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    parser = event_parser_new();
    if (sodium_init() < 0 || parser == NULL || mkdtemp(root) == NULL)
        die(root);
    for (size_t i = 0; i < BASES; i++)
        make_base(i);
    int status = runs_do(300, run, "damaged journals", "damage to the files of a journal is got over");
    remove_journal();
    rmdir(root);
    event_parser_free(parser);
    free(days);
    free(days_before);
    free_tree(&tree);
    for (size_t i = 0; i < BASES; i++) {
        free_tree(&bases[i]->tree);
        free(bases[i]);
    }
    return status;
}

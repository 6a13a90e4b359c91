#include "levels.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef FIRST_BUCKETS /* a test build makes it small */
#define FIRST_BUCKETS 4096
#endif
#define YOUNG_FULL 19  /* mean slots used in a bucket of a young table that is full */
#define OVERFULL 25    /* in one that cannot wait for the merge any more */
#define MERGED_FULL 24 /* in a merged table, which nothing is inserted into */
#define YOUNG 128      /* a young table is so small a part of all */
#define NAME_SIZE 24

static const struct table no_table = {.file = -1};

/* The kinds of tables. Files of a kind are used in turns. */
struct kind {
    const char *name;
    unsigned files;
    bool written, sliced;
};
static const struct kind young_kind = {"young", 2, false, false};
static const struct kind middle_kind = {"middle", 2, true, false};
static const struct kind old_kind = {"old", 2 * SLICES, true, true};

static int do_not_fit(struct reason *reason) {
    return fail(reason, ERROR_DAMAGED, "the tables in seen/ do not belong together");
}

static uint64_t sum(const uint64_t used[SLICES]) {
    uint64_t all = 0;
    for (int i = 0; i < SLICES; i++)
        all += used[i];
    return all;
}

static uint32_t slice_of(uint32_t number) {
    return number % SLICES;
}

static bool is_same_index(const struct levels *levels, const struct header *header) {
    return memcmp(header->key, levels->header.key, sizeof header->key) == 0;
}

int levels_write_header(struct levels *levels, struct reason *reason) {
    return table_write_header(levels->young.file, &levels->header, reason);
}

uint64_t levels_used(const struct levels *levels) {
    return sum(levels->header.used) + levels->header.before;
}

/* ---- opening ---- */

void levels_init(struct levels *levels, unsigned first_buckets) {
    levels->first_buckets = first_buckets != 0 ? first_buckets : FIRST_BUCKETS;
    levels->young = levels->sealed = levels->middle = levels->next_middle = levels->next_old = no_table;
    for (int i = 0; i < SLICES; i++)
        levels->old[i] = no_table;
}

static void close_table(struct table *table) {
    if (table->file >= 0)
        close(table->file);
    *table = no_table;
}

static void close_next(struct levels *levels) {
    close_table(&levels->next_middle);
    close_table(&levels->next_old);
    levels->next_known = false;
}

void levels_close(struct levels *levels) {
    close_table(&levels->young);
    close_table(&levels->sealed);
    close_table(&levels->middle);
    for (int i = 0; i < SLICES; i++)
        close_table(&levels->old[i]);
    close_next(levels);
}

static void table_name(const struct kind *kind, uint32_t number, char out[NAME_SIZE]) {
    snprintf(out, NAME_SIZE, "seen/%s.%u", kind->name, number % kind->files);
}

static struct table table_of(int file, const struct header *header, const struct kind *kind) {
    struct table table = {.file = file,
                          .written = kind->written,
                          .sliced = kind->sliced,
                          .number = header->number,
                          .buckets = header->buckets};
    memcpy(table.used, header->used, sizeof table.used);
    return table;
}

/* Opens table `number` of a kind. Returns its descriptor, or an error; ERROR_INVALID: it is not there. */
static int open_numbered(const struct levels *levels, const struct kind *kind, uint32_t number,
                         struct header *header, struct reason *reason) {
    char name[NAME_SIZE];
    table_name(kind, number, name);
    int file = table_open(levels->journal, name, header, reason);
    if (file >= 0 && header->number != number) {
        close(file);
        return ERROR_INVALID;
    }
    return file;
}

/* The newer of two young tables is the young one, unless the older is not sealed: then a killed writer has
 * not finished it. */
static unsigned choose_young(const int file[2], const struct header header[2]) {
    if (file[0] < 0 || file[1] < 0)
        return file[0] < 0;
    unsigned newer = header[1].number > header[0].number;
    return header[!newer].number + 1 == header[newer].number && !header[!newer].sealed ? !newer : newer;
}

/* Opens the young table and the one before it, if it is still there. Returns 1, 0 where there is none, or an
 * error. */
static int open_young(struct levels *levels, struct reason *reason) {
    struct header header[2];
    int file[2] = {-1, -1};
    for (unsigned i = 0; i < 2; i++) {
        char name[NAME_SIZE];
        table_name(&young_kind, i, name);
        file[i] = table_open(levels->journal, name, &header[i], reason);
        if (file[i] < 0 && file[i] != ERROR_INVALID) {
            if (i > 0 && file[0] >= 0)
                close(file[0]);
            return file[i];
        }
        if (file[i] >= 0 && header[i].number == 0 && !header[i].sealed)
            break; /* the first: there are no others */
    }
    unsigned young = choose_young(file, header);
    if (file[young] < 0)
        return 0;
    levels->header = header[young];
    levels->young = table_of(file[young], &header[young], &young_kind);
    if (file[!young] >= 0)
        levels->sealed = table_of(file[!young], &header[!young], &young_kind);
    if (header[young].number == 0 || levels->sealed.number != header[young].number - 1 ||
        (file[!young] >= 0 && !is_same_index(levels, &header[!young])))
        close_table(&levels->sealed);
    return 1;
}

/* Opens middle table `number` where it is whole. Returns 1, 0 or an error. */
static int open_whole(struct levels *levels, uint32_t number, struct reason *reason) {
    struct header header;
    int file = open_numbered(levels, &middle_kind, number, &header, reason);
    if (file < 0)
        return file == ERROR_TROUBLE ? file : 0;
    if (!header.whole || !is_same_index(levels, &header)) {
        close(file);
        return 0;
    }
    levels->middle = table_of(file, &header, &middle_kind);
    return 1;
}

/* Opens the middle table that belongs to the young one: either everything before that was merged, or
 * everything but the sealed table. */
static int open_middle(struct levels *levels, struct reason *reason) {
    uint32_t number = levels->young.number;
    int result = number == 0 ? 1 : open_whole(levels, number, reason);
    if (result > 0)
        close_table(&levels->sealed);
    if (result == 0 && levels->sealed.file >= 0)
        result = number == 1 ? 1 : open_whole(levels, number - 1, reason);
    if (result == 0)
        return do_not_fit(reason);
    return result < 0 ? result : 0;
}

int levels_open_old(struct levels *levels, uint32_t slice, struct reason *reason) {
    struct header header;
    uint32_t middle = levels->middle.number, back = slice_of(middle - slice);
    if (levels->old[slice].file >= 0 || middle <= back) /* its turn has not come yet */
        return 0;
    int file = open_numbered(levels, &old_kind, middle - back, &header, reason);
    if (file >= 0)
        levels->old[slice] = table_of(file, &header, &old_kind);
    if (file == ERROR_INVALID || (file >= 0 && !is_same_index(levels, &header)))
        return do_not_fit(reason);
    return file < 0 ? file : 0;
}

static int create_young(const struct levels *levels, struct header *header, struct reason *reason) {
    char name[NAME_SIZE];
    uint64_t buckets = header->before / YOUNG_FULL / YOUNG;
    header->buckets = buckets > levels->first_buckets ? (uint32_t)buckets : levels->first_buckets;
    memset(header->used, 0, sizeof header->used);
    header->sealed = 0;
    table_name(&young_kind, header->number, name);
    return table_create(levels->journal, name, header, reason);
}

static int create_first(struct levels *levels, struct reason *reason) {
    struct header header;
    int result = levels_remove(levels->journal, "seen", reason);
    if (result != 0)
        return result;
    if (mkdirat(levels->journal, "seen", 0700) != 0 && errno != EEXIST)
        return table_trouble("make", reason);
    memset(&header, 0, sizeof header); /* padding too: the checksum covers it */
    header.reached = header.checkpoint = NOWHERE;
    randombytes_buf(header.key, sizeof header.key);
    memcpy(header.boot, levels->boot, sizeof header.boot);
    int file = create_young(levels, &header, reason);
    if (file < 0)
        return file;
    levels->header = header;
    levels->young = table_of(file, &header, &young_kind);
    return 0;
}

/* Begins a new young table. It is complete before the one before is sealed. */
static int seal(struct levels *levels, struct reason *reason) {
    struct header sealed = levels->header, header = levels->header;
    header.number++;
    header.before = levels_used(levels);
    int file = create_young(levels, &header, reason);
    if (file < 0)
        return file;
    sealed.sealed = 1;
    int result = table_write_header(levels->young.file, &sealed, reason);
    if (result != 0) {
        close(file);
        return result;
    }
    levels->sealed = table_of(levels->young.file, &sealed, &young_kind);
    levels->young = table_of(file, &header, &young_kind);
    levels->header = header;
    close_next(levels);
    return 0;
}

/* Notes which middle table is in use, once that is sure to be on the disk. */
static int use_middle(struct levels *levels, struct reason *reason) {
    if (levels->middle.file >= 0 && fdatasync(levels->middle.file) != 0)
        return table_not_synced(reason);
    levels->header.middle = levels->middle.number;
    return levels_write_header(levels, reason);
}

static int open_tables(struct levels *levels, struct reason *reason) {
    int result = open_young(levels, reason);
    if (result == 0)
        return create_first(levels, reason);
    if (result > 0)
        result = open_middle(levels, reason);
    /* A crash of the machine can leave a sealed table without the one after it. */
    if (result == 0 && levels->header.sealed)
        result = levels->sealed.file < 0 ? seal(levels, reason) : do_not_fit(reason);
    if (result == 0 && levels->header.middle != levels->middle.number)
        result = use_middle(levels, reason);
    return result;
}

int levels_open(struct levels *levels, int journal, struct reason *reason) {
    levels->journal = journal;
    int result = open_tables(levels, reason);
    if (result != 0)
        levels_close(levels);
    return result;
}

bool levels_are_current(struct levels *levels) {
    struct header header;
    struct stat status;
    levels->next_known = false;
    if (levels->young.file < 0 || fstat(levels->young.file, &status) != 0 || status.st_nlink == 0 ||
        table_read_header(levels->young.file, &header, NULL) != 0 || header.number != levels->young.number ||
        header.sealed || header.middle != levels->middle.number)
        return false;
    levels->header = header;
    return true;
}

static bool is_still(const struct table *table) {
    struct header header;
    return table->file < 0 ||
           (table_read_header(table->file, &header, NULL) == 0 && header.number == table->number);
}

/* An old table is written over only when middle tables have been. */
bool levels_unchanged(const struct levels *levels) {
    return is_still(&levels->young) && is_still(&levels->sealed) && is_still(&levels->middle);
}

static int remove_file(int directory, const char *path, const char *name, unsigned number,
                       struct reason *reason) {
    char whole[64];
    snprintf(whole, sizeof whole, "%s/%s.%u", path, name, number);
    return unlinkat(directory, whole, 0) == 0 || errno == ENOENT ? 0 : table_trouble("remove", reason);
}

static void remove_earlier_versions(int directory, const char *path) {
    char name[64];
    for (unsigned i = 0; i < 24; i++) {
        snprintf(name, sizeof name, "%s/%02u", path, i);
        unlinkat(directory, name, 0);
    }
}

int levels_remove(int directory, const char *path, struct reason *reason) {
    static const struct kind *const kinds[3] = {&old_kind, &middle_kind, &young_kind};
    int result = 0;
    for (unsigned k = 0; k < 3; k++)
        for (unsigned i = 0; i < kinds[k]->files && result == 0; i++)
            result = remove_file(directory, path, kinds[k]->name, i, reason);
    remove_earlier_versions(directory, path);
    return result;
}

/* ---- merging ---- */

static int sync_directory(const struct levels *levels, struct reason *reason) {
    int file = openat(levels->journal, "seen", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = file < 0 || fsync(file) != 0 ? table_trouble("sync", reason) : 0;
    if (file >= 0)
        close(file);
    return result;
}

static void start_header(const struct levels *levels, uint32_t buckets, struct header *header) {
    memset(header, 0, sizeof *header); /* padding too: the checksum covers it */
    header->number = levels->young.number;
    header->buckets = buckets;
    memcpy(header->key, levels->header.key, sizeof header->key);
    memcpy(header->boot, levels->boot, sizeof header->boot);
}

/* Takes the file of the table that had its turn before, and its blocks with it. */
static int take_file(const struct levels *levels, const struct kind *kind, const struct header *header,
                     struct table *table, struct reason *reason) {
    struct stat status;
    char name[NAME_SIZE];
    table_name(kind, header->number, name);
    int file = openat(levels->journal, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return table_trouble("make", reason);
    close_table(table);
    *table = table_of(file, header, kind);
    off_t size = table_size(header->buckets);
    if (fstat(file, &status) != 0 || (status.st_size < size && ftruncate(file, size) != 0))
        return table_trouble("make", reason);
    return 0;
}

/* Begins the next middle table and the old one that is made with it. */
static int start_next(struct levels *levels, struct reason *reason) {
    uint32_t slice = slice_of(levels->young.number);
    uint64_t most = 0, both[SLICES];
    struct header old;
    int result = levels_open_old(levels, slice, reason);
    for (uint32_t i = 0; i < SLICES; i++) {
        both[i] = levels->middle.used[i] + levels->sealed.used[i];
        if (i != slice && both[i] > most)
            most = both[i];
    }
    uint64_t slots = levels->old[slice].used[slice] + both[slice];
    start_header(levels, (uint32_t)(slots / MERGED_FULL) + 1, &old);
    start_header(levels, (uint32_t)(most * SLICES / MERGED_FULL) + 1, &levels->next);
    levels->next.begun = sum(levels->header.used);
    if (result == 0)
        result = take_file(levels, &old_kind, &old, &levels->next_old, reason);
    if (result == 0)
        result = take_file(levels, &middle_kind, &levels->next, &levels->next_middle, reason);
    /* Each file is new once. Its name has to be on the disk before what goes into it is given up. */
    if (result == 0 && levels->young.number <= old_kind.files)
        result = sync_directory(levels, reason);
    if (result == 0)
        result = table_write_header(levels->next_old.file, &old, reason);
    return result == 0 ? table_write_header(levels->next_middle.file, &levels->next, reason) : result;
}

/* Opens what others have begun. Returns 0, ERROR_INVALID where that is nothing, or an error. */
static int open_next(struct levels *levels, struct reason *reason) {
    uint32_t number = levels->young.number;
    struct header old;
    close_next(levels);
    int file = open_numbered(levels, &middle_kind, number, &levels->next, reason);
    if (file < 0)
        return file;
    levels->next_middle = table_of(file, &levels->next, &middle_kind);
    file = open_numbered(levels, &old_kind, number, &old, reason);
    if (file < 0)
        return file;
    levels->next_old = table_of(file, &old, &old_kind);
    return 0;
}

/* Is what was begun, and not cut short by a crash of the machine, for these tables? */
static bool is_next(const struct levels *levels) {
    return levels->next.number == levels->young.number && is_same_index(levels, &levels->next) &&
           memcmp(levels->next.boot, levels->boot, sizeof levels->boot) == 0;
}

int levels_look_at_next(struct levels *levels, struct reason *reason) {
    int result = 0;
    if (levels->next_known || levels->sealed.file < 0)
        return 0;
    if (levels->next_middle.file >= 0 && levels->next_old.file >= 0)
        result = table_read_header(levels->next_middle.file, &levels->next, reason);
    else
        result = open_next(levels, reason);
    if (result == ERROR_TROUBLE)
        return result;
    if (result != 0 || !is_next(levels))
        result = start_next(levels, reason);
    levels->next_known = result == 0;
    return result;
}

static uint32_t homes(const struct levels *levels) {
    return levels->next_old.buckets + levels->next_middle.buckets;
}

bool levels_merged(const struct levels *levels) {
    return levels->sealed.file >= 0 && levels->next_known && levels->next.merged == homes(levels);
}

static uint32_t piece_end(const struct levels *levels) {
    uint32_t merged = levels->next.merged, old = levels->next_old.buckets;
    uint32_t left = (merged < old ? old : homes(levels)) - merged;
    return merged + (left < MERGE_HOMES ? left : MERGE_HOMES);
}

/* A piece of the next old table: what the last one held, and the slice of the middle and the sealed one. */
static int merge_old(struct levels *levels, uint32_t end, struct reason *reason) {
    uint32_t slice = slice_of(levels->young.number);
    const struct table *const from[] = {&levels->old[slice], &levels->middle, &levels->sealed};
    const struct table *into = &levels->next_old;
    struct header old;
    int result = levels_open_old(levels, slice, reason);
    if (result == 0)
        result = merge_piece(&levels->merge, into, from, levels->next.merged, end, levels->next.used, reason);
    if (result != 0 || end < into->buckets)
        return result;
    start_header(levels, into->buckets, &old);
    old.used[slice] = levels->next.used[slice];
    return table_write_header(into->file, &old, reason);
}

/* A piece of the next middle table: what the others hold, but for that slice. */
static int merge_middle(struct levels *levels, uint32_t end, struct reason *reason) {
    const struct table *const from[] = {&levels->middle, &levels->sealed, &no_table};
    uint32_t before = levels->next_old.buckets;
    return merge_piece(&levels->merge, &levels->next_middle, from, levels->next.merged - before, end - before,
                       levels->next.used, reason);
}

static int merge_on(struct levels *levels, struct reason *reason) {
    uint32_t end = piece_end(levels);
    int result =
        end <= levels->next_old.buckets ? merge_old(levels, end, reason) : merge_middle(levels, end, reason);
    if (result != 0)
        return result;
    levels->next.merged = end;
    return table_write_header(levels->next_middle.file, &levels->next, reason);
}

int levels_sync_next(const struct levels *levels) {
    if (levels->sealed.file < 0)
        return 0;
    return fdatasync(levels->next_old.file) == 0 ? fdatasync(levels->next_middle.file) : -1;
}

static int mark_whole(struct levels *levels, struct reason *reason) {
    struct header header = levels->next;
    header.whole = 1;
    header.used[slice_of(header.number)] = 0; /* that is in the old table */
    int result = table_write_header(levels->next_middle.file, &header, reason);
    if (result == 0)
        levels->next = header;
    return result;
}

static int use_next(struct levels *levels, struct reason *reason) {
    close_table(&levels->sealed);
    close_table(&levels->middle);
    close_table(&levels->old[slice_of(levels->next.number)]); /* the new one is opened when it is wanted */
    levels->middle = table_of(levels->next_middle.file, &levels->next, &middle_kind);
    levels->next_middle = no_table;
    close_next(levels);
    levels->header.middle = levels->middle.number;
    return levels_write_header(levels, reason);
}

int levels_finish(struct levels *levels, struct reason *reason) {
    return levels->next.whole ? use_next(levels, reason) : mark_whole(levels, reason);
}

/* Is a piece due? So that the merge is done when the young table is three quarters full; but never so fast
 * that it would be a stall. */
static bool piece_is_due(const struct levels *levels) {
    uint64_t used = sum(levels->header.used), begun = levels->next.begun;
    uint64_t capacity = (uint64_t)levels->young.buckets * YOUNG_FULL;
    uint64_t until = capacity * 3 / 4, least = capacity / 8;
    uint64_t room = until > begun + least ? until - begun : least;
    uint64_t inserted = used > begun ? used - begun : 0;
    return !levels_merged(levels) && inserted * homes(levels) >= room * piece_end(levels);
}

static int merge_as_due(struct levels *levels, struct reason *reason) {
    int result = levels_look_at_next(levels, reason);
    if (result == 0 && piece_is_due(levels))
        result = merge_on(levels, reason);
    return result;
}

static int merge_the_rest(struct levels *levels, struct reason *reason) {
    int result = levels_look_at_next(levels, reason);
    while (result == 0 && !levels_merged(levels))
        result = merge_on(levels, reason);
    while (result == 0 && levels->sealed.file >= 0)
        result = levels_sync_next(levels) == 0 ? levels_finish(levels, reason) : table_not_synced(reason);
    return result;
}

int levels_make_room(struct levels *levels, struct reason *reason) {
    uint64_t used = sum(levels->header.used), buckets = levels->young.buckets;
    bool overfull = used >= buckets * OVERFULL;
    int result = 0;
    if (levels->sealed.file >= 0)
        result = overfull ? merge_the_rest(levels, reason) : merge_as_due(levels, reason);
    if (result == 0 && levels->sealed.file < 0 && used >= buckets * YOUNG_FULL)
        result = seal(levels, reason);
    return overfull || result == ERROR_DAMAGED ? result : 0;
}

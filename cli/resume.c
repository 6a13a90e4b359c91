/* Numbers record what was run: lines are numbered in order, and no number is reused while the index, the
 * journal or a cursor remembers it. Numbers repeat only if the journal was emptied, or restored from an older
 * copy, without those. Then the line with the position's number has a different chain, or the journal ends
 * before that number, and all lines received after the one before the position are new. If a cursor of an
 * earlier release lacks that time of receipt, the lines of its day are run again rather than missed. */
#include "resume.h"

#include "segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int resume_visit(int directory, int32_t first, int32_t last,
                 bool (*visit)(void *, const struct record *, struct position, struct position),
                 void *context, struct reason *reason) {
    struct walk *walk = malloc(sizeof *walk);
    if (walk == NULL)
        return FAIL(reason, ERROR_SYSTEM, "out of memory reading the journal");
    enum scan scan;
    struct record record;
    struct position begin;
    int result;
    walk_start(walk, directory, (struct position){.day = first}, (struct chain_state){.known = false});
    walk_until(walk, last);
    while ((result = walk_next(walk, &scan, &record, &begin, reason)) > 0)
        if (scan != SCAN_DAMAGED && visit(context, &record, begin, walk_position(walk)))
            break;
    walk_end(walk);
    free(walk);
    return result;
}

struct search {
    struct resume *resume;
    bool found, other; /* the line of the position; a line with its number but another chain */
    uint64_t last;     /* number of the last line */
};

static bool survey(void *context, const struct record *record, struct position begin, struct position end) {
    struct search *search = context;
    const struct mark *was = &search->resume->was;
    (void)begin, (void)end;
    if (record->seq == was->seq) {
        bool same = was->chain[0] == '\0' || memcmp(record->chain, was->chain, CHAIN_SIZE - 1) == 0;
        search->found |= same;
        search->other |= !same;
    }
    search->last = record->seq;
    return false;
}

bool resume_is_new(const struct resume *resume, const struct record *record, int32_t day) {
    const struct mark *was = &resume->was;
    if (record->seq > was->seq || was->seq == 0)
        return true;
    if (!resume->holds && !resume->reused)
        return false;
    /* A line that was moved to a later day keeps its time of receipt; a line with a reused number does not.
     */
    return was->received_at[0] != '\0' ? memcmp(record->received_at, was->received_at, TIMESTAMP_SIZE - 1) > 0
                                       : resume->holds || day >= was->position.day;
}

/* Stops at the first new line; the mark stays before it. */
static bool is_next(void *context, const struct record *record, struct position begin, struct position end) {
    struct resume *resume = context;
    if (resume_is_new(resume, record, begin.day)) {
        resume->next = record->seq;
        return true;
    }
    resume->mark = mark_of(record, end);
    return false;
}

static int search(int directory, int32_t first, int32_t last, struct resume *resume, struct reason *reason) {
    struct search search = {.resume = resume};
    int result = resume_visit(directory, first, last, survey, &search, reason);
    if (result < 0)
        return result;
    resume->reused =
        resume->was.seq == 0 || (!search.found && (search.other || search.last < resume->was.seq));
    resume->mark = (struct mark){0};
    result = resume_visit(directory, first, last, is_next, resume, reason);
    if (resume->was.position.day < first && resume->next == resume->was.seq + 1 && !resume->reused)
        resume->holds = true;
    return result < 0 ? result : 0;
}

int resume_find(int directory, const struct cursor *cursor, struct resume *resume, struct reason *reason) {
    int32_t first, last;
    *resume = (struct resume){.was = cursor->mark, .mark = cursor->mark};
    int any = segment_range(directory, 0, DAY_MAX, &first, &last, reason);
    if (any < 0)
        return any;
    int holds = mark_check(directory, &cursor->mark, reason);
    if (holds < 0)
        return holds;
    resume->holds = holds > 0;
    if (any == 0)
        return 0;
    resume->first = first;
    return resume->holds ? 0 : search(directory, first, last, resume, reason);
}

void resume_explain(const struct resume *resume, const char *name, struct reason *out) {
    const struct mark *was = &resume->was;
    char file[SEGMENT_NAME_SIZE], next[96];
    segment_name(was->position.day, file);
    if (resume->next == 0)
        snprintf(next, sizeof next, "there is nothing newer, so it continues with new events");
    else if (resume->reused)
        snprintf(next, sizeof next, "numbers were reused, so it continues from event %" PRIu64 " by %s",
                 resume->next, was->received_at[0] != '\0' ? "time" : "day");
    else
        snprintf(next, sizeof next, "it continues from event %" PRIu64, resume->next);
    explain(out,
            "the position of %s is invalid: event %" PRIu64 " does not end at byte %" PRIu64
            " of %s, which was edited, truncated, replaced or deleted; %s",
            name, was->seq, was->position.offset, file, next);
}

int resume_at(int directory, uint64_t seq, struct mark *mark, struct reason *reason) {
    int32_t first, last;
    struct resume resume = {.was.seq = seq > 0 ? seq - 1 : 0};
    int result = segment_range(directory, 0, DAY_MAX, &first, &last, reason);
    if (result > 0)
        result = resume_visit(directory, first, last, is_next, &resume, reason);
    *mark = resume.mark;
    return result < 0 ? result : 0;
}

struct seq_search {
    uint64_t seq;
    int (*accept)(void *, const struct record *, struct reason *);
    void *context;
    struct reason *reason;
    struct position position;
    int result;
};

static bool is_wanted(void *context, const struct record *record, struct position begin,
                      struct position end) {
    struct seq_search *search = context;
    (void)end;
    if (record->seq != search->seq)
        return false;
    search->position = begin;
    search->result = search->accept(search->context, record, search->reason);
    return search->result != 0;
}

static bool note_first(void *context, const struct record *record, struct position begin,
                       struct position end) {
    (void)begin, (void)end;
    *(uint64_t *)context = record->seq;
    return true;
}

/* Checks by its first and last lines whether a day can contain the number. Returns 1, 0 or an error. */
static int may_contain(int directory, int32_t day, uint64_t seq, struct reason *reason) {
    uint64_t first = 0;
    struct position end;
    struct mark last = {0};
    int result = resume_visit(directory, day, day, note_first, &first, reason);
    if (result <= 0 || first > seq)
        return result < 0 ? result : 0;
    result = cursor_end_of_day(directory, day, &end, reason);
    if (result == 0)
        result = mark_read(directory, end, &last, reason);
    return result < 0 ? result : last.seq == 0 || last.seq >= seq;
}

static int seek_in(int directory, int32_t day, struct seq_search *search) {
    int result = resume_visit(directory, day, day, is_wanted, search, search->reason);
    return result > 0 ? search->result : result;
}

int resume_seek(int directory, uint64_t seq, struct position *position,
                int (*accepts)(void *, const struct record *, struct reason *), void *context,
                struct reason *reason) {
    struct seq_search search = {.seq = seq, .accept = accepts, .context = context, .reason = reason};
    int32_t first, last;
    int result = segment_range(directory, 0, DAY_MAX, &first, &last, reason);
    if (result <= 0)
        return result;
    result = seek_in(directory, position->day, &search);
    for (int32_t day = first; result == 0 && day <= last; day++) {
        result = may_contain(directory, day, seq, reason);
        if (result > 0)
            result = seek_in(directory, day, &search);
    }
    *position = result > 0 ? search.position : *position;
    return result;
}

/* A segment that is not the newest one gets no more lines. So whoever follows the journal first learns which
 * one is the newest, then reads to the end, and only then goes on to the next day. */
#include "walk.h"

#include "segment.h"

#include <unistd.h>

void walk_start(struct walk *walk, int directory, struct place from, struct link link) {
    walk->directory = directory;
    walk->file = -1;
    walk->day = walk->last = from.day;
    walk->closed = false;
    reader_start(&walk->reader, -1, from.offset, link);
}

static void close_segment(struct walk *walk) {
    if (walk->file >= 0)
        close(walk->file);
    walk->file = -1;
}

void walk_end(struct walk *walk) {
    close_segment(walk);
}

void walk_until(struct walk *walk, int32_t last) {
    if (last > walk->last)
        walk->last = last;
}

void walk_close(struct walk *walk) {
    walk->closed = true;
}

/* Opens the segment of walk->day. Returns 1, 0 where there is none, or ERROR_TROUBLE. */
static int open_segment(struct walk *walk, struct reason *reason) {
    walk->file = segment_open(walk->directory, walk->day, false, reason);
    if (walk->file < 0)
        return walk->file == ERROR_INVALID ? 0 : ERROR_TROUBLE;
    reader_start(&walk->reader, walk->file, reader_offset(&walk->reader), reader_link(&walk->reader));
    return 1;
}

int walk_next(struct walk *walk, enum scan *scan, struct record *record, struct place *place,
              struct reason *reason) {
    for (;;) {
        int result = walk->file >= 0 ? 1 : open_segment(walk, reason);
        if (result > 0) {
            place->day = walk->day;
            result = reader_next(&walk->reader, scan, record, &place->offset, reason);
        }
        bool ended = walk->day >= walk->last;
        if (result == 0 && walk->file >= 0 && (!ended || walk->closed) &&
            reader_rest(&walk->reader, scan, record, &place->offset) > 0)
            return 1;
        if (result != 0 || ended)
            return result;
        close_segment(walk);
        walk->day++;
        reader_start(&walk->reader, -1, 0, reader_link(&walk->reader));
    }
}

struct place walk_place(const struct walk *walk) {
    return (struct place){.day = walk->day, .offset = reader_offset(&walk->reader)};
}

struct link walk_link(const struct walk *walk) {
    return reader_link(&walk->reader);
}

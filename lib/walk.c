/* Only the newest segment gets more lines. So to follow the journal, first find the newest segment, then
 * read the current one to its end, and only then go to the next day. */
#include "walk.h"

#include "segment.h"

#include <unistd.h>

void walk_start(struct walk *walk, int directory, struct position from, struct chain_state chain) {
    walk->directory = directory;
    walk->fd = -1;
    walk->day = walk->last = from.day;
    walk->closed = false;
    reader_start(&walk->reader, -1, from.offset, chain);
}

static void close_segment(struct walk *walk) {
    if (walk->fd >= 0)
        close(walk->fd);
    walk->fd = -1;
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

/* Opens the segment of walk->day. Returns 1, 0 if there is none, or ERROR_SYSTEM. */
static int open_segment(struct walk *walk, struct reason *reason) {
    walk->fd = segment_open(walk->directory, walk->day, false, reason);
    if (walk->fd < 0)
        return walk->fd == ERROR_INVALID ? 0 : ERROR_SYSTEM;
    reader_start(&walk->reader, walk->fd, reader_offset(&walk->reader), reader_chain(&walk->reader));
    return 1;
}

int walk_next(struct walk *walk, enum scan *scan, struct record *record, struct position *position,
              struct reason *reason) {
    for (;;) {
        int result = walk->fd >= 0 ? 1 : open_segment(walk, reason);
        if (result > 0) {
            position->day = walk->day;
            result = reader_next(&walk->reader, scan, record, &position->offset, reason);
        }
        bool ended = walk->day >= walk->last;
        if (result == 0 && walk->fd >= 0 && (!ended || walk->closed) &&
            reader_rest(&walk->reader, scan, record, &position->offset) > 0)
            return 1;
        if (result != 0 || ended)
            return result;
        close_segment(walk);
        walk->day++;
        reader_start(&walk->reader, -1, 0, reader_chain(&walk->reader));
    }
}

struct position walk_position(const struct walk *walk) {
    return (struct position){.day = walk->day, .offset = reader_offset(&walk->reader)};
}

struct chain_state walk_chain(const struct walk *walk) {
    return reader_chain(&walk->reader);
}

/* lseek(2) finds data only forwards, so hole_start() searches backwards by bisection. */
#define _GNU_SOURCE /* SEEK_DATA */
#include "hole.h"

#include <errno.h>
#include <unistd.h>

bool hole_before(int fd, uint64_t end) {
    off_t hole = lseek(fd, 0, SEEK_HOLE);
    return hole >= 0 && (uint64_t)hole < end;
}

uint64_t hole_end(int fd, uint64_t at) {
    off_t data = lseek(fd, (off_t)at, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
        data = lseek(fd, 0, SEEK_END);
    return data > (off_t)at ? (uint64_t)data : at;
}

static bool has_data(int fd, uint64_t from, uint64_t to) {
    off_t data = lseek(fd, (off_t)from, SEEK_DATA);
    return data >= 0 ? (uint64_t)data < to : errno != ENXIO;
}

uint64_t hole_start(int fd, uint64_t at) {
    uint64_t some = 0, none = at; /* there is data from `some` to `at`, and none from `none` to `at` */
    if (at == 0 || has_data(fd, at - 1, at))
        return at;
    if (!has_data(fd, 0, at))
        return 0;
    while (none - some > 1) {
        uint64_t middle = some + (none - some) / 2;
        if (has_data(fd, middle, at))
            some = middle;
        else
            none = middle;
    }
    return none;
}

#include "item.h"

#include "ring.h"

int64_t item_time_left(const struct item *item, int64_t now) {
    int64_t longest = item->wait;
    if (longest == 0 && item->attempts > 0)
        longest =
            ring_retry_after[(item->attempts < RING_RETRIES ? item->attempts : RING_RETRIES) - 1] * SECOND;
    int64_t left = item->due - now;
    return left < longest ? left : longest;
}

int item_tried(const struct item *item) {
    return item->attempts - (item->state == ITEM_RUNNING);
}

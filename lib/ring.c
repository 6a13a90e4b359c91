#include "ring.h"

bool ring_is_final(int status) {
    return status >= 200 && status < 500;
}

const int ring_retry_after[RING_RETRIES] = {1, 5, 30, 120, 600, 3600};

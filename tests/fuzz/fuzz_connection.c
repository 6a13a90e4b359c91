/* Any bytes from a web server: what is said of them does not change when more follow, unless it was "not
 * yet". */
#include "connection.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum readiness last = READY_PARTIAL;
    for (size_t length = 0; length <= size; length += length < 64 ? 1 : 61) {
        enum readiness now = connection_scan(data, length, 1000);
        if (last != READY_PARTIAL && now != last)
            abort();
        last = now;
    }
    return 0;
}

/* Any bytes read as a segment: reading ends, consumes every byte up to the last line break once, and returns
 * only pointers into the buffer. */
#include "record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    struct chain_state chain = chain_start();
    size_t start = 0, used;
    for (;;) {
        struct record record;
        enum scan scan = record_scan(text + start, size - start, &chain, &record, &used);
        if (scan == SCAN_INCOMPLETE)
            break;
        if (used == 0 || used > size - start)
            abort();
        bool readable = scan == SCAN_RECORD || scan == SCAN_UNCHAINED;
        if (readable &&
            (record.event < text + start || record.event + record.event_length > text + start + used))
            abort();
        start += used;
    }
    if (used != 0 || memchr(text + start, '\n', size - start) != NULL)
        abort();
    return 0;
}

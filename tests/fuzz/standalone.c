/* Runs a fuzz target without a fuzzer: on every named file, and on RUNS changed versions of each (2000),
 * seeded with SEED. Used by make check; make fuzz uses libFuzzer to search further. Prints one line of TAP.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state;

/* xorshift64: the same sequence everywhere. */
static size_t draw(size_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state % below);
}

static size_t change(uint8_t *bytes, size_t size, size_t room) {
    size_t at = size > 0 ? draw(size) : 0, length = 1 + draw(16);
    switch (draw(4)) {
    case 0:
        bytes[at] = (uint8_t)draw(256);
        return size > 0 ? size : 1;
    case 1:
        bytes[at] = (uint8_t) "\"\\{}[]:,\n\0 9-e.u"[draw(17)];
        return size > 0 ? size : 1;
    case 2: /* repeat a part */
        if (at + length > size || size + length > room)
            return size;
        memmove(bytes + at + length, bytes + at, size - at);
        return size + length;
    default: /* or remove it */
        if (at + length > size)
            return size;
        memmove(bytes + at, bytes + at + length, size - at - length);
        return size - length;
    }
}

int main(int argc, char **argv) {
    static uint8_t seed[1 << 16], bytes[1 << 16];
    size_t runs = getenv("RUNS") != NULL ? strtoul(getenv("RUNS"), NULL, 10) : 2000;
    state = getenv("SEED") != NULL ? strtoul(getenv("SEED"), NULL, 10) : 20261123;
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL)
            return 1;
        size_t size = fread(seed, 1, sizeof seed / 2, file);
        fclose(file);
        for (size_t run = 0; run <= runs; run++) {
            memcpy(bytes, seed, size);
            size_t changed = size;
            for (size_t step = 0; step < run % 8; step++)
                changed = change(bytes, changed, sizeof bytes);
            uint8_t *exact = malloc(changed > 0 ? changed : 1); /* exact size, to detect overruns */
            if (exact == NULL)
                return 1;
            memcpy(exact, bytes, changed);
            LLVMFuzzerTestOneInput(exact, changed);
            free(exact);
        }
    }
    printf("1..1\nok 1 - %zu changes of %d seeds are survived\n", runs, argc - 1);
    return 0;
}

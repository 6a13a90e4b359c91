#define _GNU_SOURCE /* nftw */
#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As at the start of main() in every program. TEST_NAME selects one test, for `make test`. */
__attribute__((constructor)) static void initialize(void) {
    const char *name = getenv("TEST_NAME");
    if (sodium_init() < 0)
        abort();
    if (name != NULL && name[0] != '\0')
        cmocka_set_test_filter(name);
}

int make_directory(void **state) {
    const char *base = getenv("TMPDIR");
    char name[256];
    snprintf(name, sizeof name, "%s/doorpost-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(name) == NULL)
        return -1;
    *state = strdup(name);
    return *state == NULL;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

int remove_directory(void **state) {
    int result = nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return result;
}

const char *path_in(const char *directory, const char *name) {
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

void write_file(const char *path, const void *bytes, size_t length, unsigned mode) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*length + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *length, file), *length);
    bytes[*length] = '\0';
    fclose(file);
    return bytes;
}

size_t read_sample(const char *name, char out[SAMPLE_SIZE]) {
    char path[256];
    size_t length;
    snprintf(path, sizeof path, "tests/vectors/%s", name);
    char *bytes = read_file(path, &length);
    assert_true(length < SAMPLE_SIZE);
    memcpy(out, bytes, length + 1);
    free(bytes);
    return length;
}

struct keys *sample_keys(void) {
    char text[SAMPLE_SIZE], path[] = "/tmp/doorpost-keys-XXXXXX";
    struct reason reason = {""};
    size_t length = read_sample("key.txt", text);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_file(path, text, length, 0600);
    struct keys *keys = keys_alloc();
    assert_non_null(keys);
    assert_int_equal(keys_load(keys, path, &reason), 0);
    unlink(path);
    return keys;
}

size_t make_press(unsigned number, char out[SAMPLE_SIZE]) {
    int length = snprintf(out, SAMPLE_SIZE,
                          "{\"meta\":{\"version\":\"1.1\",\"time\":\"2026-02-14T00:02:53.027052438Z\","
                          "\"request_id\":\"request-%u\","
                          "\"account_id\":\"account-%u\"},\"data\":{\"id\":\"event-%u\",\"type\":\"button_"
                          "press\",\"attributes\":{"
                          "\"source\":\"device-%u\",\"source_type\":\"devices\",\"timestamp\":1771027372393},"
                          "\"relationships\":{}}}",
                          number, number % 7, number, number % 5);
    return (size_t)length;
}

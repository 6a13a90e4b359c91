/* A table of the index: a bucket is read back as written, or reported as damaged. */
#include "support.h"

#include "index/internal.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS 200

static struct table table;
static struct bucket bucket, read_back;
static struct reason reason;

static int set_up(void **state) {
    if (make_directory(state) != 0)
        return -1;
    int fd = open(path_in(*state, "table"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    table = (struct table){.fd = fd, .buckets = BUCKETS, .secret = 42};
    memset(&bucket, 0, sizeof bucket);
    return fd < 0;
}

static int tear_down(void **state) {
    close(table.fd);
    return remove_directory(state);
}

static void write_bucket(uint32_t number, uint32_t used) {
    bucket.number = number;
    bucket.used = used;
    for (uint32_t i = 0; i < TABLE_SLOTS; i++)
        bucket.slot[i] = (struct slot){.fingerprint = number * UINT64_C(1000) + i, .position = i};
    assert_int_equal(table_write(&table, &bucket, &reason), 0);
}

static int read_bucket(uint32_t number) {
    return table_read(&table, number, &read_back, &reason);
}

/* Each table is four times as large as the one before: the largest is the tenth. */
static void fingerprints_are_spread_over_all_buckets_of_any_table(void **state) {
    static const uint32_t sizes[] = {1, 3, MIN_BUCKETS, FIRST_BUCKETS, UINT32_C(4096) << 18};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct table sized = {.buckets = sizes[i]};
        assert_int_equal(table_home(&sized, 0), 0);
        assert_int_equal(table_home(&sized, UINT64_MAX), sizes[i] - 1);
        assert_int_equal(table_home(&sized, UINT64_C(1) << 63), sizes[i] / 2);
    }
    assert_int_equal(table_offset(UINT32_C(4096) << 18), INT64_C(1) << 39);
}

static void a_bucket_is_read_back_as_written(void **state) {
    (void)state;
    for (uint32_t number = 0; number < 3; number++)
        write_bucket(number, TABLE_SLOTS - number);
    for (uint32_t number = 0; number < 3; number++) {
        assert_int_equal(read_bucket(number), 0);
        assert_int_equal(read_back.used, TABLE_SLOTS - number);
        assert_int_equal(read_back.slot[30].fingerprint, number * 1000 + 30);
    }
}

static void each_damaged_byte_is_detected(void **state) {
    (void)state;
    write_bucket(0, 7);
    for (off_t at = 0; at < (off_t)sizeof bucket; at++) {
        const unsigned char *bytes = (const unsigned char *)&bucket;
        unsigned char flipped = bytes[at] ^ 0x10;
        assert_int_equal(pwrite(table.fd, &flipped, 1, at), 1);
        assert_int_equal(read_bucket(0), ERROR_DAMAGED);
        assert_int_equal(pwrite(table.fd, &bytes[at], 1, at), 1);
    }
    assert_int_equal(read_bucket(0), 0);
}

static void a_bucket_written_elsewhere_is_damage(void **state) {
    static const char zeros[sizeof bucket];
    (void)state;
    assert_int_equal(read_bucket(0), ERROR_DAMAGED); /* the file is empty */
    assert_string_equal(reason.text, "an index table in seen/ is damaged");
    write_bucket(0, 1);
    assert_int_equal(pwrite(table.fd, &bucket, sizeof bucket, table_offset(1)), sizeof bucket);
    assert_int_equal(read_bucket(1), ERROR_DAMAGED); /* this is number 0 */
    assert_int_equal(pwrite(table.fd, zeros, sizeof zeros, table_offset(1)), sizeof zeros);
    assert_int_equal(read_bucket(1), ERROR_DAMAGED);
    write_bucket(1, TABLE_SLOTS + 1);
    assert_int_equal(read_bucket(1), ERROR_DAMAGED);
    write_bucket(1, TABLE_SLOTS);
    assert_int_equal(ftruncate(table.fd, table_offset(2) - 1), 0);
    assert_int_equal(read_bucket(1), ERROR_DAMAGED);
    table.secret++; /* another index */
    assert_int_equal(read_bucket(0), ERROR_DAMAGED);
}

static void buckets_are_cleared_from_the_first_to_before_the_last(void **state) {
    (void)state;
    for (uint32_t number = 0; number < BUCKETS; number++)
        write_bucket(number, 5);
    assert_int_equal(table_clear(&table, 7, 7, &reason), 0);
    assert_int_equal(table_clear(&table, 9, 2, &reason), 0);
    assert_int_equal(table_clear(&table, 3, 180, &reason), 0); /* more than one write clears */
    for (uint32_t number = 0; number < BUCKETS; number++) {
        assert_int_equal(read_bucket(number), 0);
        assert_int_equal(read_back.used, number >= 3 && number < 180 ? 0 : 5);
    }
}

static void an_io_error_is_not_damage(void **state) {
    struct table full = table, closed = table, read_only = table;
    write_bucket(0, 1);
    full.fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    read_only.fd = open(path_in(*state, "table"), O_RDONLY | O_CLOEXEC);
    closed.fd = -1;
    assert_int_equal(table_write(&full, &bucket, &reason), ERROR_SYSTEM);
    assert_string_equal(reason.text, "cannot write the index in seen/: No space left on device");
    assert_int_equal(table_clear(&full, 0, 1, &reason), ERROR_SYSTEM);
    assert_int_equal(table_write(&read_only, &bucket, &reason), ERROR_SYSTEM);
    assert_int_equal(table_read(&closed, 0, &read_back, &reason), ERROR_SYSTEM);
    close(full.fd);
    close(read_only.fd);
}

#define TABLE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fingerprints_are_spread_over_all_buckets_of_any_table),
        TABLE_TEST(a_bucket_is_read_back_as_written),
        TABLE_TEST(each_damaged_byte_is_detected),
        TABLE_TEST(a_bucket_written_elsewhere_is_damage),
        TABLE_TEST(buckets_are_cleared_from_the_first_to_before_the_last),
        TABLE_TEST(an_io_error_is_not_damage),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}

#include "record.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "9f86d081"
#define SIGNATURE "sha256=a76659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0df"
#define AT INT64_C(1795435200123456)

/* Writes the line of one body that continues `chain`. Returns its length. */
static size_t write_line(struct chain_state *chain, char *body, size_t length, char *out) {
    bool verbatim = record_flatten(body, length);
    size_t header_length = record_write_header(chain, AT, KEY, SIGNATURE, verbatim, body, length, out);
    memcpy(out + header_length, body, length);
    memcpy(out + header_length + length, RECORD_TAIL, sizeof RECORD_TAIL - 1);
    return header_length + length + sizeof RECORD_TAIL - 1;
}

/* Three presses in three lines. Returns their length; sets *second and *third to where those lines begin. */
static size_t three_lines(char *out, size_t *second, size_t *third) {
    struct chain_state chain = chain_start();
    char body[SAMPLE_SIZE];
    size_t length = write_line(&chain, body, make_press(1, body), out);
    *second = length;
    length += write_line(&chain, body, make_press(2, body), out + length);
    *third = length;
    return length + write_line(&chain, body, make_press(3, body), out + length);
}

static void a_line_reads_back(void **state) {
    (void)state;
    char body[SAMPLE_SIZE], line[2 * SAMPLE_SIZE];
    size_t length = read_sample("button_press_utf8.json", body), used;
    struct chain_state writing = chain_start(), reading = chain_start();
    size_t size = write_line(&writing, body, length, line);
    struct record record;
    assert_int_equal(record_scan(line, size, &reading, &record, &used), SCAN_RECORD);
    assert_int_equal(used, size);
    assert_int_equal(record.seq, 1);
    assert_memory_equal(record.received_at, "2026-11-23T12:00:00.123456Z", TIMESTAMP_SIZE - 1);
    assert_memory_equal(record.key, KEY, 8);
    assert_memory_equal(record.signature, SIGNATURE, 71);
    assert_true(record.verbatim);
    assert_int_equal(record.event_length, length);
    assert_memory_equal(record.event, body, length);
    assert_memory_equal(&reading.recorded, &writing.recorded, CHAIN_SIZE);
    assert_int_equal(reading.seq, 1);
}

/* The chain is what b2sum computes: printf '%032d%s' 0 LINE-WITHOUT-CHAIN | b2sum -l 128 */
static void the_chain_is_plain_blake2b(void **state) {
    (void)state;
    char body[] = "{\"a\":1}", line[1024], without[1024], command[2048], printed[64] = "";
    struct chain_state chain = chain_start();
    size_t size = write_line(&chain, body, sizeof body - 1, line);
    line[size - 1] = '\0';
    char *member = strstr(line, "\"chain\":");
    snprintf(without, sizeof without, "%.*s%s", (int)(member - line), line, member + 43);
    snprintf(command, sizeof command, "printf '%%032d%%s' 0 '%s' | b2sum -l 128", without);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_int_equal(fread(printed, 1, 32, pipe), 32);
    pclose(pipe);
    assert_string_equal(printed, chain.recorded);
    assert_memory_equal(member + 9, printed, 32);
}

static void line_breaks_become_spaces_and_are_recorded(void **state) {
    (void)state;
    char body[SAMPLE_SIZE], line[2 * SAMPLE_SIZE];
    size_t length = read_sample("button_press_pretty.json", body), used;
    struct chain_state writing = chain_start(), reading = chain_start();
    size_t size = write_line(&writing, body, length, line);
    struct record record;
    assert_ptr_equal(memchr(line, '\n', size), line + size - 1);
    assert_int_equal(record_scan(line, size, &reading, &record, &used), SCAN_RECORD);
    assert_false(record.verbatim);
    assert_int_equal(record.event_length, length);
    char crlf[] = "{\r\n}";
    assert_false(record_flatten(crlf, 4));
    assert_string_equal(crlf, "{  }");
}

/* Each byte of the middle line, and its line break, is changed to several values. The change must be
 * detected, and the next line must still be read. */
static void every_damaged_byte_is_detected_and_costs_one_line(void **state) {
    (void)state;
    static char text[4 * SAMPLE_SIZE], good[4 * SAMPLE_SIZE];
    static const char values[] = {0, ' ', '\n', '0', '9', 'f', '"', '{', '}', '\\', (char)0xff, 1};
    size_t second, third, length = three_lines(good, &second, &third);
    for (size_t at = second; at < third; at++)
        for (size_t v = 0; v <= sizeof values; v++) {
            memcpy(text, good, length);
            text[at] = v < sizeof values ? values[v] : (char)(good[at] ^ 1);
            if (text[at] == good[at])
                continue;
            struct chain_state chain = chain_start();
            struct record record;
            size_t start = 0, used;
            int damaged = 0;
            bool first_read = false, third_read = false;
            for (enum scan scan; (scan = record_scan(text + start, length - start, &chain, &record, &used)) !=
                                 SCAN_INCOMPLETE;
                 start += used) {
                damaged += scan != SCAN_RECORD;
                first_read |= scan == SCAN_RECORD && start == 0;
                third_read |= scan == SCAN_RECORD && start == third && record.seq == 3;
            }
            if (!first_read || !third_read || damaged == 0 || start != length)
                fail_msg("byte %zu of the line changed to %d: first %d, third %d, damaged %d", at - second,
                         text[at], first_read, third_read, damaged);
        }
}

/* An undamaged line is not lost if only its line break is damaged. */
static void a_damaged_line_break_loses_no_event(void **state) {
    (void)state;
    char text[4 * SAMPLE_SIZE];
    size_t second, third, length = three_lines(text, &second, &third), used;
    struct chain_state chain = chain_start();
    struct record record;
    text[third - 1] = 'x';
    assert_int_equal(record_scan(text, length, &chain, &record, &used), SCAN_RECORD);
    assert_int_equal(record_scan(text + used, length - used, &chain, &record, &used), SCAN_UNCHAINED);
    assert_int_equal(record.seq, 2);
    assert_int_equal(used, third - second);
    assert_int_equal(record_scan(text + third, length - third, &chain, &record, &used), SCAN_RECORD);
}

static void a_removed_or_moved_line_is_detected(void **state) {
    (void)state;
    char text[4 * SAMPLE_SIZE];
    size_t second, third, length = three_lines(text, &second, &third), used;
    struct chain_state chain = chain_start();
    struct record record;
    assert_int_equal(record_scan(text, second, &chain, &record, &used), SCAN_RECORD);
    assert_int_equal(record_scan(text + third, length - third, &chain, &record, &used), SCAN_UNCHAINED);
    assert_int_equal(chain.seq, 3); /* counting continues after it */
    chain = chain_start();
    assert_int_equal(record_scan(text + second, third - second, &chain, &record, &used), SCAN_UNCHAINED);
}

static void the_chain_continues_after_damage(void **state) {
    (void)state;
    char text[4 * SAMPLE_SIZE], body[SAMPLE_SIZE];
    size_t second, third, length = three_lines(text, &second, &third), used;
    struct chain_state chain = chain_start();
    struct record record;
    memset(text + second, 0, third - second - 1); /* for example, lost in a crash */
    size_t start = 0;
    while (record_scan(text + start, third - start, &chain, &record, &used) != SCAN_INCOMPLETE)
        start += used;
    assert_int_equal(chain.damaged, 1);
    length = third + write_line(&chain, body, make_press(4, body), text + third);
    chain = chain_start();
    assert_int_equal(record_scan(text, length, &chain, &record, &used), SCAN_RECORD);
    assert_int_equal(record_scan(text + second, length - second, &chain, &record, &used), SCAN_DAMAGED);
    assert_int_equal(record_scan(text + third, length - third, &chain, &record, &used), SCAN_RECORD);
    assert_int_equal(record.seq, 3); /* the lost line has a number too */
}

static void an_incomplete_line_waits(void **state) {
    (void)state;
    char text[4 * SAMPLE_SIZE];
    size_t second, third, used;
    three_lines(text, &second, &third);
    for (size_t length = 0; length < second; length++) {
        struct chain_state chain = chain_start();
        struct record record;
        char *copy = malloc(length == 0 ? 1 : length);
        memcpy(copy, text, length);
        assert_int_equal(record_scan(copy, length, &chain, &record, &used), SCAN_INCOMPLETE);
        assert_int_equal(used, 0);
        free(copy);
    }
}

/* Two lines whose line break is missing or another byte. Both are read whole, even by a reader that starts
 * there and cannot verify the first one. */
static void a_lost_line_break_costs_no_line(void **state) {
    (void)state;
    static char good[4 * SAMPLE_SIZE], text[4 * SAMPLE_SIZE];
    size_t second, third, length = three_lines(good, &second, &third);
    for (unsigned how = 0; how < 4; how++) {
        size_t gone = how % 2;
        struct chain_state chain = how / 2 == 0 ? chain_start() : (struct chain_state){.known = false};
        struct record record;
        size_t start = 0, used;
        memcpy(text, good, second - 1);
        text[second - 1] = 'x';
        memcpy(text + second - gone, good + second, length - second);
        for (uint64_t seq = 1; seq <= 3; seq++, start += used) {
            enum scan scan = record_scan(text + start, length - gone - start, &chain, &record, &used);
            assert_int_equal(scan, seq == 1 ? SCAN_UNCHAINED : SCAN_RECORD);
            assert_int_equal(record.seq, seq);
            assert_int_equal(record.event[record.event_length - 1], '}');
            assert_int_equal(record.event_length, third - second - (size_t)(record.event - record.line) - 2);
        }
        assert_int_equal(start, length - gone);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_reads_back),
        cmocka_unit_test(a_lost_line_break_costs_no_line),
        cmocka_unit_test(the_chain_is_plain_blake2b),
        cmocka_unit_test(line_breaks_become_spaces_and_are_recorded),
        cmocka_unit_test(every_damaged_byte_is_detected_and_costs_one_line),
        cmocka_unit_test(a_damaged_line_break_loses_no_event),
        cmocka_unit_test(a_removed_or_moved_line_is_detected),
        cmocka_unit_test(the_chain_continues_after_damage),
        cmocka_unit_test(an_incomplete_line_waits),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}

#include "signature.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Each row of signatures.tsv, made by another implementation, verifies with the key that it names and no
 * other. */
static void the_samples_verify(void **state) {
    struct reason reason;
    struct keys *keys = keys_alloc();
    size_t ignored;
    char *key = read_file("tests/vectors/key.txt", &ignored),
         *old = read_file("tests/vectors/old-key.txt", &ignored);
    char text[512];
    int length = snprintf(text, sizeof text, "%s\n%s\n", key, old);
    write_file(path_in(*state, "keys"), text, (size_t)length, 0600);
    assert_int_equal(keys_load(keys, path_in(*state, "keys"), &reason), 0);
    free(key);
    free(old);
    assert_int_equal(keys_count(keys), 3);

    char *table = read_file("tests/vectors/signatures.tsv", &ignored), *rest = table;
    int rows = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char name[128], reading[64], signature[128], body[SAMPLE_SIZE];
        if (sscanf(line, "%127[^\t#]\t%63[^\t]\t%127s", name, reading, signature) != 3)
            continue;
        size_t size = read_sample(name, body);
        uint8_t digest[SIGNATURE_BYTES];
        assert_int_equal(signature_parse(signature, digest), 0);
        int wanted = strstr(reading, "base64-decoded") != NULL ? 1
                     : strstr(reading, "old-key") != NULL      ? 2
                                                               : 0;
        assert_int_equal(signature_verify(keys, body, size, digest), wanted);
        char again[SIGNATURE_TEXT_SIZE];
        signature_format(digest, again);
        assert_string_equal(again, signature);
        body[size / 2] ^= 1;
        assert_int_equal(signature_verify(keys, body, size, digest), ERROR_INVALID);
        rows++;
    }
    assert_int_equal(rows, 17);
    free(table);
    keys_free(keys);
}

/* RFC 4231, test cases 6 and 7: keys longer than the hash's block. */
static void long_keys_work(void **state) {
    struct reason reason;
    char key[132];
    memset(key, 0xaa, 131);
    key[131] = '\n';
    write_file(path_in(*state, "keys"), key, sizeof key, 0600);
    struct keys *keys = keys_alloc();
    assert_int_equal(keys_load(keys, path_in(*state, "keys"), &reason), 0);
    static const char body[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    uint8_t digest[SIGNATURE_BYTES];
    assert_int_equal(
        signature_parse("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", digest), 0);
    assert_int_equal(signature_verify(keys, body, sizeof body - 1, digest), 0);
    keys_free(keys);
}

#define HEX "a76659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0df"
#define UPPER "A76659B3A3C0A00766ACB29BBFBD2CD14FC37FC5153FF62C26D0945FE0CFC0DF"

static void the_prefix_is_optional_and_case_is_ignored(void **state) {
    (void)state;
    uint8_t first[SIGNATURE_BYTES], other[SIGNATURE_BYTES];
    assert_int_equal(signature_parse("sha256=" HEX, first), 0);
    static const char *const cases[] = {HEX, UPPER, "sha256=" UPPER};
    for (size_t i = 0; i < 3; i++) {
        memset(other, 0, sizeof other);
        assert_int_equal(signature_parse(cases[i], other), 0);
        assert_memory_equal(first, other, sizeof first);
    }
}

static void anything_else_is_malformed(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "sha256=",
        "sha256=" HEX "0",
        "sha256=" HEX "00",
        "sha256= " HEX,
        " " HEX,
        HEX " ",
        "sha1=" HEX,
        "SHA256=" HEX,
        "sha256=sha256=" HEX,
        HEX "," HEX,
        "sha256=a76659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0d",
        "sha256=g76659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0df",
        "sha256=a7:6659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0d",
        "sha256=+76659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0df",
        "p2ZZs6PAoAdmrLKbv70s0U/Df8UVP/YsJtCUX+DPwN8=",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t digest[SIGNATURE_BYTES];
        if (signature_parse(cases[i], digest) == 0)
            fail_msg("took \"%s\"", cases[i]);
    }
}

static void an_empty_body_can_be_signed(void **state) {
    (void)state;
    struct keys *keys = sample_keys();
    uint8_t digest[SIGNATURE_BYTES];
    signature_make(keys, 0, "", 0, digest);
    assert_int_equal(signature_verify(keys, "", 0, digest), 0);
    digest[31] ^= 1;
    assert_int_equal(signature_verify(keys, "", 0, digest), ERROR_INVALID);
    keys_free(keys);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_samples_verify),
        TEST(long_keys_work),
        cmocka_unit_test(the_prefix_is_optional_and_case_is_ignored),
        cmocka_unit_test(anything_else_is_malformed),
        cmocka_unit_test(an_empty_body_can_be_signed),
    };
    return cmocka_run_group_tests_name("signature", tests, NULL, NULL);
}

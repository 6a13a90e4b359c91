/* A line is one JSON object, its members always in this order, without white space:
 *
 *   {"seq":1042,"received_at":"2026-11-23T12:00:00.123456Z","key":"9f86d081",
 *    "signature":"sha256=<64 digits>","chain":"<32 digits>","event":<Ring's body, byte for byte>}
 *
 * with `"verbatim":false,` before "event" if line breaks in the body were replaced by spaces. "chain" is a
 * 128-bit BLAKE2b hash (RFC 7693), in hexadecimal, of the previous line's chain (32 zeros before the very
 * first line) followed by this line without its "chain" member and line break; `b2sum -l 128` computes the
 * same. So a line that was edited, removed or moved no longer matches.
 *
 * After damage the chain resumes as soon as it matches again: a line is good if it follows from the chain
 * recorded in the previous line or from the chain computed over that line's bytes. So one damaged byte
 * costs one line. */
#define _GNU_SOURCE /* memmem */
#include "record.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define CHAIN_BYTES 16
#define SEQ_DIGITS 18 /* fits into 64 bits with room to count on */
#define LINE_START "{\"seq\":"
#define EVENT "\"event\":"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"
#define NOT_VERBATIM "\"verbatim\":false,"

struct chain_state chain_start(void) {
    struct chain_state chain = {.known = true};
    memset(chain.recorded, '0', CHAIN_SIZE - 1);
    memset(chain.computed, '0', CHAIN_SIZE - 1);
    return chain;
}

bool record_flatten(char *body, size_t length) {
    if (memchr(body, '\n', length) == NULL && memchr(body, '\r', length) == NULL)
        return true;
    for (size_t i = 0; i < length; i++)
        if (body[i] == '\n' || body[i] == '\r')
            body[i] = ' ';
    return false;
}

/* Computes the chain over the previous chain and the parts of a line around its "chain" member. */
static void compute_chain(const char *previous, const struct iovec *parts, size_t count,
                          char out[CHAIN_SIZE]) {
    crypto_generichash_state state;
    unsigned char hash[CHAIN_BYTES];
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    crypto_generichash_update(&state, (const unsigned char *)previous, CHAIN_SIZE - 1);
    for (size_t i = 0; i < count; i++)
        crypto_generichash_update(&state, parts[i].iov_base, parts[i].iov_len);
    crypto_generichash_final(&state, hash, sizeof hash);
    sodium_bin2hex(out, CHAIN_SIZE, hash, sizeof hash);
}

static struct iovec part(const char *text, size_t length) {
    return (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = length};
}

size_t record_write_header(struct chain_state *chain, int64_t received_at, const char *key,
                           const char *signature, bool verbatim, const char *body, size_t length,
                           char out[RECORD_HEADER_SIZE]) {
    const char *event = verbatim ? EVENT : NOT_VERBATIM EVENT;
    char at[TIMESTAMP_SIZE];
    timestamp_format(received_at, at);
    chain->seq += chain->damaged + 1;
    size_t proof =
        (size_t)snprintf(out, RECORD_HEADER_SIZE,
                         LINE_START "%llu,\"received_at\":\"%s\",\"key\":\"%s\",\"signature\":\"%s\",",
                         (unsigned long long)chain->seq, at, key, signature);
    const struct iovec parts[] = {part(out, proof), part(event, strlen(event)), part(body, length),
                                  part("}", 1)};
    compute_chain(chain->recorded, parts, sizeof parts / sizeof *parts, chain->computed);
    memcpy(chain->recorded, chain->computed, CHAIN_SIZE);
    chain->damaged = 0;
    return proof + (size_t)snprintf(out + proof, RECORD_HEADER_SIZE - proof, "\"chain\":\"%s\",%s",
                                    chain->recorded, event);
}

/* Moves *text past `wanted`, or returns false. */
static bool literal(const char **text, const char *end, const char *wanted) {
    size_t length = strlen(wanted);
    if ((size_t)(end - *text) < length || memcmp(*text, wanted, length) != 0)
        return false;
    *text += length;
    return true;
}

/* Moves *text past `length` hexadecimal digits. Returns their start, or NULL. */
static const char *digits(const char **text, const char *end, size_t length) {
    static const bool hexadecimal[256] = {
        ['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true,
        ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true, ['a'] = true, ['b'] = true,
        ['c'] = true, ['d'] = true, ['e'] = true, ['f'] = true};
    const unsigned char *start = (const unsigned char *)*text;
    if ((size_t)(end - *text) < length)
        return NULL;
    bool all = true;
    for (size_t i = 0; i < length; i++)
        all &= hexadecimal[start[i]];
    *text += length;
    return all ? (const char *)start : NULL;
}

/* Moves *text past text in the form of a time. Does not check the date against the calendar, which would
 * take longer than everything else. */
static const char *time_of_receipt(const char **text, const char *end) {
    static const char form[] = "0000-00-00T00:00:00.000000Z";
    const char *start = *text;
    if ((size_t)(end - start) < TIMESTAMP_SIZE - 1)
        return NULL;
    for (const char *wanted = form; *wanted != '\0'; wanted++, (*text)++)
        if (*wanted == '0' ? **text < '0' || **text > '9' : **text != *wanted)
            return NULL;
    return start;
}

static bool parse_seq(const char **text, const char *end, uint64_t *seq) {
    const char *start = *text;
    *seq = 0;
    for (; *text < end && **text >= '0' && **text <= '9' && *text - start < SEQ_DIGITS; (*text)++)
        *seq = *seq * 10 + (uint64_t)(**text - '0');
    return *text > start && *start != '0';
}

int record_parse(const char *line, size_t length, struct record *record) {
    const char *text = line, *end = line + length;
    literal(&text, end, BYTE_ORDER_MARK);
    if (end > text && end[-1] == '\r')
        end--;
    line = text;
    length = (size_t)(end - line);
    *record = (struct record){.line = line, .length = length, .verbatim = true};
    if (!literal(&text, end, LINE_START) || !parse_seq(&text, end, &record->seq) ||
        !literal(&text, end, ",\"received_at\":\"") ||
        (record->received_at = time_of_receipt(&text, end)) == NULL ||
        !literal(&text, end, "\",\"key\":\"") ||
        (record->key = digits(&text, end, FINGERPRINT_SIZE - 1)) == NULL ||
        !literal(&text, end, "\",\"signature\":\""))
        return ERROR_DAMAGED;
    record->signature = text;
    if (!literal(&text, end, RING_SIGNATURE_PREFIX) ||
        digits(&text, end, (size_t)2 * SIGNATURE_BYTES) == NULL || !literal(&text, end, "\",\"chain\":\"") ||
        (record->chain = digits(&text, end, CHAIN_SIZE - 1)) == NULL || !literal(&text, end, "\","))
        return ERROR_DAMAGED;
    if (literal(&text, end, NOT_VERBATIM))
        record->verbatim = false;
    if (!literal(&text, end, EVENT) || end - text < 3 || end[-1] != '}')
        return ERROR_DAMAGED;
    record->event = text;
    record->event_length = (size_t)(end - 1 - text);
    return 0;
}

/* Computes the chain of a line's bytes after `previous`. */
static void chain_of(const struct record *record, const char *previous, char out[CHAIN_SIZE]) {
    const char *member = record->chain - (sizeof "\"chain\":\"" - 1);
    const char *after = record->chain + CHAIN_SIZE - 1 + 2;
    const struct iovec parts[] = {part(record->line, (size_t)(member - record->line)),
                                  part(after, (size_t)(record->line + record->length - after))};
    compute_chain(previous, parts, sizeof parts / sizeof *parts, out);
}

/* How a line is known to follow from the one before. */
enum proof { PROOF_NONE, PROOF_UNVERIFIABLE /* accepted as recorded */, PROOF_CHAIN };

/* Stores the chain computed over the line's bytes in `computed`. */
static enum proof follows(const struct record *record, const struct chain_state *chain,
                          char computed[CHAIN_SIZE]) {
    chain_of(record, chain->recorded, computed);
    if (chain->known && memcmp(computed, record->chain, CHAIN_SIZE - 1) == 0)
        return PROOF_CHAIN;
    if (memcmp(chain->recorded, chain->computed, CHAIN_SIZE) != 0) {
        char other[CHAIN_SIZE];
        chain_of(record, chain->computed, other);
        if (memcmp(other, record->chain, CHAIN_SIZE - 1) == 0) {
            memcpy(computed, other, CHAIN_SIZE);
            return PROOF_CHAIN;
        }
    }
    /* The previous line's chain is lost, and the number of lines in a damaged stretch is unknown: accept
     * this line if its number is higher than the last known one. */
    bool unverifiable = !chain->known || (chain->damaged > 0 && record->seq > chain->seq);
    if (unverifiable)
        memcpy(computed, record->chain, CHAIN_SIZE - 1);
    return unverifiable ? PROOF_UNVERIFIABLE : PROOF_NONE;
}

static void step(struct chain_state *chain, const struct record *record, const char computed[CHAIN_SIZE]) {
    uint64_t expected = chain->seq + chain->damaged + 1;
    /* Use the larger of an edited number and the expected one: a gap can be reported, a number assigned
     * twice misleads. */
    chain->seq = chain->known && record->seq < expected ? expected : record->seq;
    memcpy(chain->recorded, record->chain, CHAIN_SIZE - 1);
    chain->recorded[CHAIN_SIZE - 1] = '\0';
    memcpy(chain->computed, computed, CHAIN_SIZE);
    chain->damaged = 0;
    chain->known = true;
}

/* Finds the line that begins within [text, end) because the line break before it was damaged. Returns NULL
 * if there is none. */
static const char *find_start(const char *text, const char *end) {
    struct record record;
    while ((text = memmem(text, (size_t)(end - text), LINE_START, sizeof LINE_START - 1)) != NULL) {
        if (record_parse(text, (size_t)(end - text), &record) == 0)
            return text;
        text++;
    }
    return NULL;
}

/* Returns the end of the object that begins at `text`, or NULL. */
static const char *find_close(const char *text, const char *end) {
    bool quoted = false;
    for (int depth = 0; text < end; text++) {
        if (quoted && *text == '\\')
            text++;
        else if (*text == '"')
            quoted = !quoted;
        else if (!quoted && *text == '{')
            depth++;
        else if (!quoted && *text == '}' && --depth <= 0)
            return text + 1;
    }
    return NULL;
}

/* Looks for a line that ends before the line break, because its own was damaged: it ends at its object's
 * closing brace or, if the line is damaged too, at the start of the next line. If found, parses it, sets
 * *used to the start of the next line, and returns true. */
static bool split_first(const char *text, size_t *used, struct record *record, bool *readable) {
    const char *line_break = text + *used - 1, *close = find_close(text, line_break);
    const char *start = (*readable ? record->line : text) + 1, *next;
    struct record first;
    if (*readable && close == record->line + record->length)
        return false;
    if (close != NULL && record_parse(text, (size_t)(close - text), &first) == 0) {
        next = memmem(close, (size_t)(line_break - close), LINE_START, sizeof LINE_START - 1);
        *record = first;
        *readable = true;
    } else {
        next = start < line_break ? find_start(start, line_break) : NULL;
        if (next == NULL)
            return false;
        *readable = record_parse(text, (size_t)(next - text), record) == 0 ||
                    record_parse(text, (size_t)(next - text) - 1, record) == 0;
    }
    if (next != NULL)
        *used = (size_t)(next - text);
    return true;
}

enum scan record_scan(const char *text, size_t length, struct chain_state *chain, struct record *record,
                      size_t *used) {
    const char *line_break = memchr(text, '\n', length);
    char computed[CHAIN_SIZE] = "";
    *used = 0;
    if (line_break == NULL)
        return SCAN_INCOMPLETE;
    *used = (size_t)(line_break - text) + 1;
    bool readable = record_parse(text, *used - 1, record) == 0;
    enum proof proof = readable ? follows(record, chain, computed) : PROOF_NONE;
    bool is_first = proof != PROOF_CHAIN && split_first(text, used, record, &readable);
    if (proof != PROOF_NONE && !is_first) {
        step(chain, record, computed);
        return SCAN_RECORD;
    }
    if (is_first && readable)
        follows(record, chain, computed);
    if (!readable) {
        bool is_blank = *used == 1 || (*used == 2 && text[0] == '\r');
        chain->damaged += !is_blank; /* a blank line replaces no line */
        return SCAN_DAMAGED;
    }
    step(chain, record, computed);
    return SCAN_UNCHAINED;
}

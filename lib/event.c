/* Parsing has two steps. check_json() validates the body as RFC 8259 defines JSON and gives the reason if it
 * is invalid: every reader must be able to parse a journal line, and json-c versions differ in what they
 * accept. json-c then builds the tree in its default mode, which accepts everything that has passed, so it
 * fails only if out of memory. */
#define _GNU_SOURCE /* memmem */
#include "event.h"

#include "quote.h"
#include "timestamp.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_ID "\"" RING_REQUEST_ID_NAME "\""
#define ID "\"" RING_ID_NAME "\""
#define SPARE_MEMORY 65536
#define EXACT_LIMIT (INT64_C(1) << 53) /* doubles are exact up to this, so all readers agree */
#define DIGITS_LIMIT 1000000L          /* more digits than a body can have */
#define TEXT_OF(number) #number
#define DIGITS(number) TEXT_OF(number)

struct event_parser {
    struct json_tokener *tokener;
};

struct event_parser *event_parser_new(void) {
    struct event_parser *parser = malloc(sizeof *parser);
    if (parser == NULL)
        return NULL;
    parser->tokener = json_tokener_new_ex(EVENT_DEPTH + 1); /* the innermost contents are a level */
    if (parser->tokener == NULL) {
        free(parser);
        return NULL;
    }
    return parser;
}

void event_parser_free(struct event_parser *parser) {
    if (parser != NULL)
        json_tokener_free(parser->tokener);
    free(parser);
}

/* Returns the value of the four hexadecimal digits at text, or -1. */
static int hex4(const char *text, const char *end) {
    int value = 0;
    if (end - text < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char *digit = text[i] != '\0' ? strchr("0123456789abcdef0123456789ABCDEF", text[i]) : NULL;
        if (digit == NULL)
            return -1;
        value = value << 4 | (int)((digit - "0123456789abcdef0123456789ABCDEF") & 15);
    }
    return value;
}

/* Skips one escape (RFC 8259, section 7) or surrogate pair. Returns NULL if it is invalid. Sets *nul if it is
 * a NUL character. */
static const char *skip_escape(const char *text, const char *end, bool *nul) {
    if (end - text < 2 || strchr("\"\\/bfnrtu", text[1]) == NULL || text[1] == '\0')
        return NULL;
    if (text[1] != 'u')
        return text + 2;
    int unit = hex4(text + 2, end);
    text += 6;
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return NULL;
    *nul |= unit == 0;
    if (unit < 0xd800 || unit > 0xdbff)
        return text;
    if (end - text < 2 || text[0] != '\\' || text[1] != 'u')
        return NULL;
    unit = hex4(text + 2, end);
    return unit >= 0xdc00 && unit <= 0xdfff ? text + 6 : NULL;
}

/* Most characters are plain: no further check is needed. */
static bool is_plain(char character) {
    return character >= 0x20 && character < 0x7f && character != '"' && character != '\\';
}

/* The same for eight characters at once: each non-plain byte sets its highest bit in one of the terms. */
static bool are_plain(const char text[8]) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t bytes;
    memcpy(&bytes, text, sizeof bytes);
    return ((bytes | (bytes - ones * ' ') | ((bytes ^ ones * '"') - ones) | ((bytes ^ ones * '\\') - ones)) &
            ones << 7) == 0;
}

static const char *skip_string(const char *text, const char *end, bool *nul) {
    for (text++; text != NULL;) {
        while (end - text >= 8 && are_plain(text))
            text += 8;
        while (text < end && is_plain(*text))
            text++;
        if (text == end)
            return NULL;
        if (*text == '"')
            return text + 1;
        if (*text == '\\') {
            text = skip_escape(text, end, nul);
            continue;
        }
        uint32_t character = 0;
        size_t size = utf8_decode(text, (size_t)(end - text), &character);
        if (size == 0 || character < 0x20)
            return NULL;
        text += size;
    }
    return NULL;
}

static const char *skip_digits(const char *text, const char *end) {
    const char *start = text;
    while (text < end && *text >= '0' && *text <= '9')
        text++;
    return text > start ? text : NULL;
}

/* RFC 8259, section 6. */
static const char *skip_number(const char *text, const char *end) {
    if (*text == '-')
        text++;
    const char *digits = text;
    text = skip_digits(text, end);
    if (text == NULL || (*digits == '0' && text - digits > 1))
        return NULL;
    if (text < end && *text == '.')
        text = skip_digits(text + 1, end);
    if (text != NULL && text < end && (*text == 'e' || *text == 'E')) {
        text++;
        if (text < end && (*text == '+' || *text == '-'))
            text++;
        text = skip_digits(text, end);
    }
    return text;
}

static const char *skip_word(const char *text, const char *end, const char *word) {
    size_t length = strlen(word);
    return (size_t)(end - text) >= length && memcmp(text, word, length) == 0 ? text + length : NULL;
}

static const char *skip_scalar(const char *text, const char *end) {
    bool nul = false; /* allowed in values: read_text() checks those we need */
    switch (*text) {
    case '"':
        return skip_string(text, end, &nul);
    case 't':
        return skip_word(text, end, "true");
    case 'f':
        return skip_word(text, end, "false");
    case 'n':
        return skip_word(text, end, "null");
    default:
        return skip_number(text, end);
    }
}

static const char *skip_space(const char *text, const char *end) {
    while (text < end && (*text == ' ' || *text == '\n' || *text == '\r' || *text == '\t'))
        text++;
    return text;
}

/* Skips a member's name and the colon after it. */
static const char *skip_name(const char *text, const char *end, bool *nul) {
    text = *text == '"' ? skip_string(text, end, nul) : NULL;
    text = text != NULL ? skip_space(text, end) : end;
    return text < end && *text == ':' ? text + 1 : NULL;
}

/* Checks that the body is one JSON text. Not recursive: each open object or array is a bit of `objects`, the
 * innermost being the lowest; 1 means an object. */
static int check_json(const char *text, const char *end, struct reason *reason) {
    enum { VALUE = 1, NAME = 2, COMMA = 4, CLOSE = 8 }; /* allowed next; 0: only the end */
    _Static_assert(EVENT_DEPTH <= 64, "a bit for each level");
    unsigned expected = VALUE;
    uint64_t objects = 0;
    int depth = 0;
    bool nul = false;
    while (text != NULL && (text = skip_space(text, end)) < end) {
        if ((expected & CLOSE) != 0 && *text == ((objects & 1) != 0 ? '}' : ']')) {
            text++;
            objects >>= 1;
            expected = --depth > 0 ? COMMA | CLOSE : 0;
        } else if ((expected & COMMA) != 0 && *text == ',') {
            text++;
            expected = (objects & 1) != 0 ? NAME : VALUE;
        } else if ((expected & NAME) != 0) {
            text = skip_name(text, end, &nul);
            expected = VALUE;
        } else if ((expected & VALUE) == 0) {
            text = NULL;
        } else if (*text == '{' || *text == '[') {
            if (depth++ == EVENT_DEPTH)
                return FAIL(reason, ERROR_INVALID, "the body is nested deeper than %d levels", EVENT_DEPTH);
            expected = CLOSE | (*text == '{' ? NAME : VALUE);
            objects = objects << 1 | (*text++ == '{');
        } else {
            text = skip_scalar(text, end);
            expected = depth > 0 ? COMMA | CLOSE : 0;
        }
    }
    if (text == NULL)
        return FAIL(reason, ERROR_INVALID, "the body is not valid JSON");
    if (expected != 0)
        return FAIL(reason, ERROR_INVALID, "the body is not valid JSON: unexpected end");
    /* json-c would truncate the name there, and read "request_id\u0000x" as request_id. */
    return nul ? FAIL(reason, ERROR_INVALID, "a member name contains a NUL character") : 0;
}

static struct json_object *member(struct json_object *object, const char *name) {
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value); /* leaves NULL if not an object */
    return value;
}

static struct json_object *find(struct json_object *const objects[], enum ring_field field) {
    return member(objects[ring_members[field].in], ring_members[field].name);
}

/* A problem with a field (NULL: none) is an error only if the field is required. */
static int check_field(enum ring_field field, unsigned required, const char *problem, struct reason *reason) {
    if (problem == NULL || (required >> field & 1) == 0)
        return 0;
    return FAIL(reason, ERROR_INVALID, "%s %s", ring_members[field].path, problem);
}

/* Copies a string field to `out`, or "" if it is missing or unusable. */
static int read_text(struct json_object *const objects[], enum ring_field field, unsigned required,
                     char out[EVENT_FIELD_SIZE], struct reason *reason) {
    struct json_object *value = find(objects, field);
    bool is_text = json_object_is_type(value, json_type_string);
    const char *text = is_text ? json_object_get_string(value) : "";
    size_t length = is_text ? (size_t)json_object_get_string_len(value) : 0;
    const char *problem = value == NULL                ? "is missing"
                          : !is_text                   ? "is not a string"
                          : length == 0                ? "is empty"
                          : length >= EVENT_FIELD_SIZE ? "is longer than " DIGITS(RING_TEXT_LIMIT) " bytes"
                          : memchr(text, '\0', length) != NULL ? "contains a NUL character"
                                                               : NULL;
    memcpy(out, text, problem == NULL ? length : 0);
    out[problem == NULL ? length : 0] = '\0';
    return check_field(field, required, problem, reason);
}

/* Only DOORPOST_MAX_AGE uses the time, so an unreadable time does not reject the event. */
static void read_time(struct json_object *const objects[], struct event *event) {
    struct json_object *value = find(objects, RING_TIME);
    event->time_is_present = value != NULL;
    event->has_time = json_object_is_type(value, json_type_string) &&
                      timestamp_parse_iso8601(json_object_get_string(value),
                                              (size_t)json_object_get_string_len(value), &event->time) == 0;
}

/* Appends `count` zeros to a number, but stops once it exceeds EXACT_LIMIT. */
static int64_t append_zeros(int64_t number, int64_t count) {
    for (; count > 0 && number > 0 && number <= EXACT_LIMIT; count--)
        number *= 10;
    return number;
}

/* Reads a number with a fraction or exponent. Returns false if it is not an integer; 1.5e3 and 17.0 are. A
 * result beyond EXACT_LIMIT is not exact. */
static bool read_integer(const char *text, int64_t *number) {
    int64_t value = 0, zeros = 0, decimals = 0; /* value excludes trailing zeros */
    bool negative = *text == '-', fraction = false;
    for (text += negative; *text != '\0' && *text != 'e' && *text != 'E'; text++) {
        fraction |= *text == '.';
        if (*text == '.')
            continue;
        decimals += fraction;
        zeros++;
        if (*text != '0') {
            value = append_zeros(value, zeros) + (*text - '0');
            zeros = 0;
        }
    }
    long exponent = *text != '\0' ? strtol(text + 1, NULL, 10) : 0;
    zeros += exponent > DIGITS_LIMIT ? DIGITS_LIMIT : exponent < -DIGITS_LIMIT ? -DIGITS_LIMIT : exponent;
    value = append_zeros(value, zeros - decimals);
    *number = negative ? -value : value;
    return value == 0 || zeros >= decimals;
}

/* Accepts an integer in any notation. json-c clamps integers that do not fit in 64 bits, so the limits
 * themselves are rejected too. */
static int read_timestamp(struct json_object *const objects[], unsigned required, struct event *event,
                          struct reason *reason) {
    struct json_object *value = find(objects, RING_TIMESTAMP);
    bool is_integer = json_object_is_type(value, json_type_int);
    int64_t number = is_integer ? json_object_get_int64(value) : 0,
            limit = is_integer ? INT64_MAX : EXACT_LIMIT + 1;
    if (json_object_is_type(value, json_type_double)) {
        const char *text = json_object_get_string(value); /* the original text */
        is_integer = text != NULL && read_integer(text, &number);
    }
    const char *problem = value == NULL                         ? "is missing"
                          : !is_integer                         ? "is not an integer"
                          : number >= limit || number <= -limit ? "is out of range"
                                                                : NULL;
    event->timestamp = problem == NULL ? number : 0;
    return check_field(RING_TIMESTAMP, required, problem, reason);
}

static bool has_account(struct json_object *const objects[]) {
    char version[EVENT_FIELD_SIZE];
    (void)read_text(objects, RING_VERSION, 0, version, NULL);
    return strcmp(version, RING_VERSION_WITH_ACCOUNT) == 0;
}

/* A field that is not required is read if well-formed and ignored otherwise: Ring adds types and members
 * without notice. */
static int read_optional(struct json_object *const objects[], struct event *event, struct reason *reason) {
    char source_type[EVENT_FIELD_SIZE];
    unsigned required = ring_required(event->type);
    if (required != 0 && !has_account(objects))
        required &= ~(1U << RING_ACCOUNT);
    if (strcmp(event->type, RING_PRESS) != 0) { /* a press has no sub-type */
        (void)read_text(objects, RING_SUB_TYPE, 0, event->sub_type, NULL);
        if (event->sub_type[0] == '\0')
            (void)read_text(objects, RING_SUB_TYPE_OLD, 0, event->sub_type, NULL);
    }
    int result = read_text(objects, RING_ACCOUNT, required, event->account, reason);
    if (result == 0)
        result = read_text(objects, RING_SOURCE, required, event->device, reason);
    if (result == 0)
        result = read_text(objects, RING_SOURCE_TYPE, required, source_type, reason);
    if (result == 0 && strcmp(source_type, RING_FROM_DEVICE) != 0) {
        result = check_field(RING_SOURCE_TYPE, required, "of a press must be " RING_FROM_DEVICE, reason);
        if (result == 0)
            event->device[0] = '\0';
    }
    return result == 0 ? read_timestamp(objects, required, event, reason) : result;
}

static int read_event(struct json_object *payload, struct event *event, struct reason *reason) {
    struct json_object *meta = member(payload, RING_META_NAME), *data = member(payload, RING_DATA_NAME);
    struct json_object *const objects[] = {
        [RING_META] = meta, [RING_DATA] = data, [RING_ATTRIBUTES] = member(data, RING_ATTRIBUTES_NAME)};
    if (!json_object_is_type(meta, json_type_object))
        return FAIL(reason, ERROR_INVALID, RING_META_NAME " is missing or not an object");
    if (!json_object_is_type(data, json_type_object))
        return FAIL(reason, ERROR_INVALID, RING_DATA_NAME " is missing or not an object");
    int result = read_text(objects, RING_REQUEST_ID, RING_ALWAYS_REQUIRED, event->request_id, reason);
    if (result == 0)
        result = read_text(objects, RING_ID, RING_ALWAYS_REQUIRED, event->id, reason);
    if (result == 0)
        result = read_text(objects, RING_TYPE, RING_ALWAYS_REQUIRED, event->type, reason);
    if (result != 0)
        return result;
    read_time(objects, event);
    return read_optional(objects, event, reason);
}

static int parse_once(struct event_parser *parser, const char *body, size_t length, struct event *event,
                      struct reason *reason) {
    json_tokener_reset(parser->tokener);
    struct json_object *payload = json_tokener_parse_ex(parser->tokener, body, (int)length);
    int result = json_object_is_type(payload, json_type_object)
                     ? read_event(payload, event, reason)
                     : FAIL(reason, ERROR_SYSTEM, "not enough memory to parse the body");
    json_object_put(payload);
    return result;
}

int event_parse(struct event_parser *parser, const char *body, size_t length, struct event *event,
                struct reason *reason) {
    memset(event, 0, sizeof *event);
    int result = check_json(body, body + length, reason);
    if (result != 0)
        return result;
    if (*skip_space(body, body + length) != '{')
        return FAIL(reason, ERROR_INVALID, "the body is not a JSON object");
    if (parse_once(parser, body, length, event, reason) == 0 && event->has_time)
        return 0;
    /* If out of memory, json-c may silently omit members. Before treating one as missing, parse the body
     * again with memory known to be available. */
    void *volatile spare = malloc(SPARE_MEMORY); /* volatile: else the compiler may omit it */
    if (spare == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory to parse the body");
    free(spare);
    memset(event, 0, sizeof *event);
    return parse_once(parser, body, length, event, reason);
}

/* Finds the string value of the only member with that name (quotation marks included). In JSON without
 * backslashes, every quotation mark begins or ends a string, so a match is a member name or a value. If there
 * is one match and event_parse() finds such a member, the match is that member. */
static bool find_only(const char *body, size_t length, const char *name, size_t name_length,
                      struct span *value) {
    const char *end = body + length;
    const char *at = memmem(body, length, name, name_length);
    if (at == NULL)
        return false;
    at += name_length;
    if (memmem(at, (size_t)(end - at), name, name_length) != NULL)
        return false;
    while (at < end && (*at == ' ' || *at == '\t' || *at == ':'))
        at++;
    if (at == end || *at != '"')
        return false;
    value->text = at + 1;
    at = memchr(value->text, '"', (size_t)(end - value->text));
    value->length = at != NULL ? (size_t)(at - value->text) : 0;
    return at != NULL;
}

bool event_identifiers(const char *body, size_t length, struct span *request_id, struct span *id) {
    return memchr(body, '\\', length) == NULL &&
           find_only(body, length, REQUEST_ID, sizeof REQUEST_ID - 1, request_id) &&
           find_only(body, length, ID, sizeof ID - 1, id);
}

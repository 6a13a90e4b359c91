/* Two readers share the work. A pass over the bytes decides whether the body is JSON, as RFC 8259 defines it,
 * and gives the reason if not: a journal line must be JSON for every reader, and versions of json-c differ in
 * what they take. json-c then builds the tree, in its default mode, which refuses nothing that has passed: if
 * it fails, there is no memory. */
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
#define EXACT (INT64_C(1) << 53) /* up to it a double holds every integer, so all readers of JSON agree */
#define MANY 1000000L            /* of digits: more than a body has */
#define TEXT_OF(number) #number
#define DIGITS(number) TEXT_OF(number)

struct event_parser {
    struct json_tokener *tokener;
};

struct event_parser *event_parser_new(void) {
    struct event_parser *parser = malloc(sizeof *parser);
    if (parser == NULL)
        return NULL;
    parser->tokener = json_tokener_new_ex(EVENT_DEPTH + 1); /* what the innermost one holds is a level too */
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

/* The value of four hexadecimal digits at text, or -1. */
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

/* Steps over one escape (RFC 8259, section 7), a surrogate pair counting as one. NULL if it is none. Sets
 * *nul if it is a NUL character. */
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

/* Most of a body is this, and needs no more than a look. */
static bool is_plain(char character) {
    return character >= 0x20 && character < 0x7f && character != '"' && character != '\\';
}

/* The same of eight characters at once: of a byte that is not plain, a difference has its highest bit set. */
static bool are_plain(const char text[8]) {
    const uint64_t each = UINT64_C(0x0101010101010101);
    uint64_t bytes;
    memcpy(&bytes, text, sizeof bytes);
    return ((bytes | (bytes - each * ' ') | ((bytes ^ each * '"') - each) | ((bytes ^ each * '\\') - each)) &
            each << 7) == 0;
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
        size_t wide = utf8_decode(text, (size_t)(end - text), &character);
        if (wide == 0 || character < 0x20)
            return NULL;
        text += wide;
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
    bool nul = false; /* is no matter in a value: take() looks */
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

/* A member's name and the colon after it. */
static const char *skip_name(const char *text, const char *end, bool *nul) {
    text = *text == '"' ? skip_string(text, end, nul) : NULL;
    text = text != NULL ? skip_space(text, end) : end;
    return text < end && *text == ':' ? text + 1 : NULL;
}

/* Whether the body is one JSON text. Not recursive: the open objects and arrays are the bits of `objects`,
 * the innermost one the lowest; a bit is 1 for an object. */
static int check_json(const char *text, const char *end, struct reason *reason) {
    enum { VALUE = 1, NAME = 2, COMMA = 4, CLOSE = 8 }; /* what may come next; 0: only the end */
    _Static_assert(EVENT_DEPTH <= 64, "a bit for each level");
    unsigned wanted = VALUE;
    uint64_t objects = 0;
    int depth = 0;
    bool nul = false;
    while (text != NULL && (text = skip_space(text, end)) < end) {
        if ((wanted & CLOSE) != 0 && *text == ((objects & 1) != 0 ? '}' : ']')) {
            text++;
            objects >>= 1;
            wanted = --depth > 0 ? COMMA | CLOSE : 0;
        } else if ((wanted & COMMA) != 0 && *text == ',') {
            text++;
            wanted = (objects & 1) != 0 ? NAME : VALUE;
        } else if ((wanted & NAME) != 0) {
            text = skip_name(text, end, &nul);
            wanted = VALUE;
        } else if ((wanted & VALUE) == 0) {
            text = NULL;
        } else if (*text == '{' || *text == '[') {
            if (depth++ == EVENT_DEPTH)
                return FAIL(reason, ERROR_INVALID, "the body is nested deeper than %d levels", EVENT_DEPTH);
            wanted = CLOSE | (*text == '{' ? NAME : VALUE);
            objects = objects << 1 | (*text++ == '{');
        } else {
            text = skip_scalar(text, end);
            wanted = depth > 0 ? COMMA | CLOSE : 0;
        }
    }
    if (text == NULL)
        return FAIL(reason, ERROR_INVALID, "the body is not JSON");
    if (wanted != 0)
        return FAIL(reason, ERROR_INVALID, "the body is not JSON: it ends too early");
    /* json-c would cut the name there, and take "request_id\u0000x" for request_id. */
    return nul ? FAIL(reason, ERROR_INVALID, "a member name contains a NUL character") : 0;
}

static struct json_object *member(struct json_object *object, const char *name) {
    struct json_object *value = NULL;
    json_object_object_get_ex(object, name, &value); /* leaves NULL if object is none */
    return value;
}

static struct json_object *find(struct json_object *const objects[], enum ring_field field) {
    return member(objects[ring_members[field].in], ring_members[field].name);
}

/* What is wrong with a field (NULL: nothing) is an error if it is one of those required. */
static int judge(enum ring_field field, unsigned required, const char *wrong, struct reason *reason) {
    if (wrong == NULL || (required >> field & 1) == 0)
        return 0;
    return FAIL(reason, ERROR_INVALID, "%s %s", ring_members[field].path, wrong);
}

/* Copies a text. Leaves "" if there is none that can be used. */
static int take(struct json_object *const objects[], enum ring_field field, unsigned required,
                char out[EVENT_FIELD_SIZE], struct reason *reason) {
    struct json_object *value = find(objects, field);
    bool is_text = json_object_is_type(value, json_type_string);
    const char *text = is_text ? json_object_get_string(value) : "";
    size_t length = is_text ? (size_t)json_object_get_string_len(value) : 0;
    const char *wrong = value == NULL                ? "is missing"
                        : !is_text                   ? "is not a string"
                        : length == 0                ? "is empty"
                        : length >= EVENT_FIELD_SIZE ? "is longer than " DIGITS(RING_TEXT_LIMIT) " bytes"
                        : memchr(text, '\0', length) != NULL ? "contains a NUL character"
                                                             : NULL;
    memcpy(out, text, wrong == NULL ? length : 0);
    out[wrong == NULL ? length : 0] = '\0';
    return judge(field, required, wrong, reason);
}

/* Only DOORPOST_MAX_AGE needs the time, so one that cannot be read is no reason to refuse the event. */
static void take_time(struct json_object *const objects[], struct event *event) {
    struct json_object *value = find(objects, RING_TIME);
    event->time_given = value != NULL;
    event->has_time = json_object_is_type(value, json_type_string) &&
                      timestamp_parse_iso8601(json_object_get_string(value),
                                              (size_t)json_object_get_string_len(value), &event->time) == 0;
}

/* Appends zeros to a number, up to the first one beyond EXACT. */
static int64_t append_zeros(int64_t number, int64_t count) {
    for (; count > 0 && number > 0 && number <= EXACT; count--)
        number *= 10;
    return number;
}

/* Reads a number that has a fraction or an exponent. Returns false if it is not an integer, as 1.5e3 and 17.0
 * are. A result beyond EXACT says only that it is. */
static bool read_integer(const char *text, int64_t *number) {
    int64_t value = 0, zeros = 0, places = 0; /* value is without the zeros at its end */
    bool negative = *text == '-', fraction = false;
    for (text += negative; *text != '\0' && *text != 'e' && *text != 'E'; text++) {
        fraction |= *text == '.';
        if (*text == '.')
            continue;
        places += fraction;
        zeros++;
        if (*text != '0') {
            value = append_zeros(value, zeros) + (*text - '0');
            zeros = 0;
        }
    }
    long exponent = *text != '\0' ? strtol(text + 1, NULL, 10) : 0;
    zeros += exponent > MANY ? MANY : exponent < -MANY ? -MANY : exponent;
    value = append_zeros(value, zeros - places);
    *number = negative ? -value : value;
    return value == 0 || zeros >= places;
}

/* An integer in any notation. json-c cuts those that 64 bits do not hold to the largest that they do, so that
 * one is refused too. */
static int take_timestamp(struct json_object *const objects[], unsigned required, struct event *event,
                          struct reason *reason) {
    struct json_object *value = find(objects, RING_TIMESTAMP);
    bool is_integer = json_object_is_type(value, json_type_int);
    int64_t number = is_integer ? json_object_get_int64(value) : 0,
            limit = is_integer ? INT64_MAX : EXACT + 1;
    if (json_object_is_type(value, json_type_double)) {
        const char *text = json_object_get_string(value); /* as it was written */
        is_integer = text != NULL && read_integer(text, &number);
    }
    const char *wrong = value == NULL                         ? "is missing"
                        : !is_integer                         ? "is not an integer"
                        : number >= limit || number <= -limit ? "is out of range"
                                                              : NULL;
    event->timestamp = wrong == NULL ? number : 0;
    return judge(RING_TIMESTAMP, required, wrong, reason);
}

static bool has_account(struct json_object *const objects[]) {
    char version[EVENT_FIELD_SIZE];
    (void)take(objects, RING_VERSION, 0, version, NULL);
    return strcmp(version, RING_VERSION_WITH_ACCOUNT) == 0;
}

/* A field that is not required is read if it has the usual form, and else is no reason to refuse the event:
 * Ring adds types and members without notice. */
static int take_rest(struct json_object *const objects[], struct event *event, struct reason *reason) {
    char source_type[EVENT_FIELD_SIZE];
    unsigned required = ring_required(event->type);
    if (required != 0 && !has_account(objects))
        required &= ~(1U << RING_ACCOUNT);
    if (strcmp(event->type, RING_PRESS) != 0) { /* which has no sub-type */
        (void)take(objects, RING_SUB_TYPE, 0, event->sub_type, NULL);
        if (event->sub_type[0] == '\0')
            (void)take(objects, RING_SUB_TYPE_OLD, 0, event->sub_type, NULL);
    }
    int result = take(objects, RING_ACCOUNT, required, event->account, reason);
    if (result == 0)
        result = take(objects, RING_SOURCE, required, event->device, reason);
    if (result == 0)
        result = take(objects, RING_SOURCE_TYPE, required, source_type, reason);
    if (result == 0 && strcmp(source_type, RING_FROM_DEVICE) != 0) {
        result = judge(RING_SOURCE_TYPE, required, "of a press must be " RING_FROM_DEVICE, reason);
        if (result == 0)
            event->device[0] = '\0';
    }
    return result == 0 ? take_timestamp(objects, required, event, reason) : result;
}

static int take_event(struct json_object *payload, struct event *event, struct reason *reason) {
    struct json_object *meta = member(payload, RING_META_NAME), *data = member(payload, RING_DATA_NAME);
    struct json_object *const objects[] = {
        [RING_META] = meta, [RING_DATA] = data, [RING_ATTRIBUTES] = member(data, RING_ATTRIBUTES_NAME)};
    if (!json_object_is_type(meta, json_type_object))
        return FAIL(reason, ERROR_INVALID, RING_META_NAME " is missing or not an object");
    if (!json_object_is_type(data, json_type_object))
        return FAIL(reason, ERROR_INVALID, RING_DATA_NAME " is missing or not an object");
    int result = take(objects, RING_REQUEST_ID, RING_ALWAYS_REQUIRED, event->request_id, reason);
    if (result == 0)
        result = take(objects, RING_ID, RING_ALWAYS_REQUIRED, event->id, reason);
    if (result == 0)
        result = take(objects, RING_TYPE, RING_ALWAYS_REQUIRED, event->type, reason);
    if (result != 0)
        return result;
    take_time(objects, event);
    return take_rest(objects, event, reason);
}

static int parse_once(struct event_parser *parser, const char *body, size_t length, struct event *event,
                      struct reason *reason) {
    json_tokener_reset(parser->tokener);
    struct json_object *payload = json_tokener_parse_ex(parser->tokener, body, (int)length);
    int result = json_object_is_type(payload, json_type_object)
                     ? take_event(payload, event, reason)
                     : FAIL(reason, ERROR_SYSTEM, "no memory to read the body");
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
    /* If json-c gets no memory, it may leave out members without a word. Before something is missed for good,
     * the body is read again with memory to spare. */
    void *volatile spare = malloc(SPARE_MEMORY); /* volatile: or the compiler may leave it out */
    if (spare == NULL)
        return FAIL(reason, ERROR_SYSTEM, "no memory to read the body");
    free(spare);
    memset(event, 0, sizeof *event);
    return parse_once(parser, body, length, event, reason);
}

/* Finds the value of the only member of that name (with its quotation marks), which is a string. In JSON
 * without a backslash a quotation mark is the end of a string or its beginning, so the name is either a name
 * or a value; if it is in the body once, and event_parse() has found such a member, it is that one. */
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

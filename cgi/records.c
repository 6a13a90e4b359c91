/* Parses records incrementally, and keeps only what a request needs: a few parameters and the body. So a
 * claimed length never costs memory, and the cost depends on the number of bytes, not of fragments. Unknown
 * content is skipped by its length, never parsed.
 *
 * libfcgi's reader blocks, lingers and asserts. We could use it only on a private socket, after copying the
 * whole request there and making these same checks. */
#include "records.h"

#include "ring.h"

#include <stdio.h>
#include <string.h>

#define REPLY_ROOM 128 /* bytes of the longest reply to one record */

/* ---- output ---- */

static size_t put_header(unsigned char *out, int type, uint16_t id, size_t length) {
    const FCGI_Header header = {.version = FCGI_VERSION_1,
                                .type = (unsigned char)type,
                                .requestIdB1 = (unsigned char)(id >> 8),
                                .requestIdB0 = (unsigned char)id,
                                .contentLengthB1 = (unsigned char)(length >> 8),
                                .contentLengthB0 = (unsigned char)length};
    memcpy(out, &header, sizeof header);
    return sizeof header;
}

static size_t put_record(unsigned char *out, int type, uint16_t id, const void *content, size_t length) {
    size_t header_length = put_header(out, type, id, length);
    if (length > 0)
        memcpy(out + header_length, content, length);
    return header_length + length;
}

static size_t put_end(unsigned char *out, uint16_t id, int protocol_status) {
    const FCGI_EndRequestBody body = {.protocolStatus = (unsigned char)protocol_status};
    return put_record(out, FCGI_END_REQUEST, id, &body, sizeof body);
}

static void reply_end(struct fastcgi_reply *reply, uint16_t id, int protocol_status) {
    reply->length += put_end(reply->bytes + reply->length, id, protocol_status);
}

size_t fastcgi_answer(struct fastcgi *fastcgi, const char *log, size_t log_length, const char *text,
                      size_t text_length, unsigned char *out) {
    size_t length = 0;
    if (log_length > 0) {
        length += put_record(out, FCGI_STDERR, fastcgi->id, log, log_length);
        length += put_record(out + length, FCGI_STDERR, fastcgi->id, NULL, 0);
    }
    length += put_record(out + length, FCGI_STDOUT, fastcgi->id, text, text_length);
    length += put_record(out + length, FCGI_STDOUT, fastcgi->id, NULL, 0);
    length += put_end(out + length, fastcgi->id, FCGI_REQUEST_COMPLETE);
    fastcgi->phase = REQUEST_NONE;
    fastcgi->request = NULL;
    return length;
}

void fastcgi_aborted(struct fastcgi *fastcgi, struct fastcgi_reply *reply) {
    reply_end(reply, fastcgi->id, FCGI_REQUEST_COMPLETE);
    fastcgi->phase = REQUEST_NONE;
    fastcgi->request = NULL;
}

void fastcgi_overloaded(struct fastcgi *fastcgi, struct fastcgi_reply *reply) {
    reply_end(reply, fastcgi->id, FCGI_OVERLOADED);
    fastcgi->phase = REQUEST_NONE;
    fastcgi->early = true;
}

/* ---- name-value pairs ---- */

/* A wanted name, and where to store its value. */
struct wanted {
    const char *name;
    const char **present;
    char *value; /* METADATA_SIZE bytes, or NULL: only note that the name occurred */
};

static void start_value(struct fastcgi_pairs *pairs, const struct wanted *wanted, size_t count) {
    pairs->present = NULL;
    pairs->value_length = 0;
    for (size_t i = 0; i < count; i++)
        if (pairs->name_length == strlen(wanted[i].name) &&
            memcmp(pairs->name, wanted[i].name, pairs->name_length) == 0 &&
            *wanted[i].present == NULL) { /* the first of a name counts */
            pairs->present = wanted[i].present;
            pairs->value = wanted[i].value;
        }
    pairs->part = PAIR_VALUE;
}

/* A value that is too long or contains a NUL cannot be valid: make sure that it is rejected. */
static void add_value(struct fastcgi_pairs *pairs, const unsigned char *bytes, size_t length) {
    size_t room = METADATA_SIZE - 1 - pairs->value_length;
    if (pairs->present == NULL || pairs->value == NULL)
        return;
    memcpy(pairs->value + pairs->value_length, bytes, length < room ? length : room);
    if (length > room || memchr(bytes, '\0', length) != NULL)
        pairs->value[0] = '?';
    pairs->value_length += length < room ? length : room;
}

static void end_value(struct fastcgi_pairs *pairs) {
    if (pairs->present != NULL) {
        if (pairs->value != NULL)
            pairs->value[pairs->value_length] = '\0';
        *pairs->present = pairs->value != NULL ? pairs->value : "";
    }
    pairs->part = PAIR_NAME_LENGTH;
    pairs->name_length = 0;
}

/* A length is one byte, or four if the first has its top bit set. Returns true when it is complete. */
static bool add_to_length(struct fastcgi_pairs *pairs, uint32_t *length, unsigned char byte) {
    if (pairs->more_bytes > 0) {
        *length = *length << 8 | byte;
        return --pairs->more_bytes == 0;
    }
    *length = byte & 0x7f;
    pairs->more_bytes = byte & 0x80 ? 3 : 0;
    return pairs->more_bytes == 0;
}

static void read_pairs(struct fastcgi_pairs *pairs, const struct wanted *wanted, size_t count,
                       const unsigned char *bytes, size_t length) {
    for (size_t at = 0; at < length;) {
        size_t left = length - at, take = 1;
        switch (pairs->part) {
        case PAIR_NAME_LENGTH:
            if (add_to_length(pairs, &pairs->name_left, bytes[at]))
                pairs->part = PAIR_VALUE_LENGTH;
            break;
        case PAIR_VALUE_LENGTH:
            if (add_to_length(pairs, &pairs->value_left, bytes[at])) {
                pairs->part = PAIR_NAME;
                if (pairs->name_left == 0)
                    start_value(pairs, NULL, 0);
            }
            break;
        case PAIR_NAME: {
            take = pairs->name_left < left ? pairs->name_left : left;
            size_t room = sizeof pairs->name - pairs->name_length;
            memcpy(pairs->name + pairs->name_length, bytes + at, take < room ? take : room);
            pairs->name_length += take < room ? take : room;
            pairs->name_left -= (uint32_t)take;
            if (pairs->name_left == 0)
                start_value(pairs, wanted, count);
            break;
        }
        case PAIR_VALUE:
            take = pairs->value_left < left ? pairs->value_left : left;
            add_value(pairs, bytes + at, take);
            pairs->value_left -= (uint32_t)take;
            break;
        }
        at += take;
        if (pairs->part == PAIR_VALUE && pairs->value_left == 0)
            end_value(pairs);
    }
}

static bool between_pairs(const struct fastcgi_pairs *pairs) {
    return pairs->part == PAIR_NAME_LENGTH && pairs->more_bytes == 0;
}

_Static_assert(sizeof RING_SIGNATURE_VARIABLE - 1 < sizeof((struct fastcgi_pairs){0}).name,
               "a name that is looked for fits, and is told from one that was cut off");

static void read_params(struct fastcgi *fastcgi, const unsigned char *bytes, size_t length) {
    struct request *request = fastcgi->request;
    struct request_metadata *metadata = &request->metadata;
    const struct wanted wanted[] = {{"REQUEST_METHOD", &metadata->method, request->method},
                                    {"CONTENT_LENGTH", &metadata->content_length, request->content_length},
                                    {RING_SIGNATURE_VARIABLE, &metadata->signature, request->signature},
                                    {"REMOTE_ADDR", &metadata->client, request->client}};
    read_pairs(&fastcgi->params, wanted, sizeof wanted / sizeof *wanted, bytes, length);
}

/* Section 4.1. A process serves one request at a time on each connection. */
static const char *const variables[] = {FCGI_MAX_CONNS, FCGI_MAX_REQS, FCGI_MPXS_CONNS};

static void read_values(struct fastcgi *fastcgi, const unsigned char *bytes, size_t length) {
    struct wanted wanted[3];
    for (size_t i = 0; i < 3; i++)
        wanted[i] = (struct wanted){variables[i], &fastcgi->asked[i], NULL};
    read_pairs(&fastcgi->values, wanted, 3, bytes, length);
}

static void reply_values(struct fastcgi *fastcgi, struct fastcgi_reply *reply) {
    char content[REPLY_ROOM - FCGI_HEADER_LEN], number[12];
    size_t length = 0;
    snprintf(number, sizeof number, "%u", fastcgi->connections);
    for (size_t i = 0; i < 3; i++)
        if (fastcgi->asked[i] != NULL) {
            const char *value = strcmp(variables[i], FCGI_MPXS_CONNS) == 0 ? "0" : number;
            length += (size_t)snprintf(content + length, sizeof content - length, "%c%c%s%s",
                                       (int)strlen(variables[i]), (int)strlen(value), variables[i], value);
        }
    reply->length += put_record(reply->bytes + reply->length, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID,
                                content, length);
}

/* ---- records ---- */

static bool is_gathering(const struct fastcgi *fastcgi) {
    return fastcgi->phase == REQUEST_PARAMS || fastcgi->phase == REQUEST_STDIN;
}

static enum fastcgi_event whole(struct fastcgi *fastcgi, enum request_fault fault) {
    fastcgi->phase = REQUEST_WHOLE;
    fastcgi->early = true;
    fastcgi->request->fault = fault;
    return FASTCGI_REQUEST;
}

/* Further input cannot be parsed. A request that has begun is still answered. */
static enum fastcgi_event lose(struct fastcgi *fastcgi) {
    fastcgi->lost = true;
    fastcgi->keep = false;
    return is_gathering(fastcgi) ? whole(fastcgi, REQUEST_MALFORMED) : FASTCGI_LOST;
}

static uint16_t id_of(const struct fastcgi *fastcgi) {
    return (uint16_t)(fastcgi->header[2] << 8 | fastcgi->header[3]);
}

static enum fastcgi_event begin(struct fastcgi *fastcgi, struct fastcgi_reply *reply) {
    uint16_t id = id_of(fastcgi);
    FCGI_BeginRequestBody body;
    memcpy(&body, fastcgi->begin, sizeof body);
    if (is_gathering(fastcgi)) {
        if (id == fastcgi->id)
            return lose(fastcgi);
        reply_end(reply, id, FCGI_CANT_MPX_CONN);
        return FASTCGI_REFUSED;
    }
    fastcgi->keep = body.flags & FCGI_KEEP_CONN;
    if ((body.roleB1 << 8 | body.roleB0) != FCGI_RESPONDER) {
        fastcgi->early = true;
        reply_end(reply, id, FCGI_UNKNOWN_ROLE);
        return FASTCGI_REFUSED;
    }
    fastcgi->id = id;
    fastcgi->phase = REQUEST_PARAMS;
    fastcgi->early = false;
    memset(&fastcgi->params, 0, sizeof fastcgi->params);
    return FASTCGI_BEGUN;
}

static enum fastcgi_event unknown_type(struct fastcgi *fastcgi, struct fastcgi_reply *reply) {
    const FCGI_UnknownTypeBody body = {.type = fastcgi->header[1]};
    reply->length +=
        put_record(reply->bytes + reply->length, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, &body, sizeof body);
    return FASTCGI_MORE;
}

/* Classifies a record of the current request. A record out of the protocol's order makes the request
 * malformed. */
static enum fastcgi_event start_request_record(struct fastcgi *fastcgi) {
    int type = fastcgi->header[1];
    if (type == FCGI_ABORT_REQUEST) {
        fastcgi->record = RECORD_ABORT;
    } else if (type == FCGI_PARAMS && is_gathering(fastcgi)) {
        if (fastcgi->phase != REQUEST_PARAMS)
            return lose(fastcgi);
        fastcgi->record = RECORD_PARAMS;
    } else if (type == FCGI_STDIN && is_gathering(fastcgi)) {
        if (fastcgi->phase != REQUEST_STDIN)
            return lose(fastcgi);
        fastcgi->record = RECORD_STDIN;
    }
    return FASTCGI_MORE;
}

/* The header is complete. */
static enum fastcgi_event start_record(struct fastcgi *fastcgi, struct fastcgi_reply *reply) {
    int type = fastcgi->header[1];
    uint16_t id = id_of(fastcgi);
    fastcgi->record = RECORD_SKIPPED;
    fastcgi->content = (size_t)(fastcgi->header[4] << 8 | fastcgi->header[5]);
    fastcgi->padding = fastcgi->header[6];
    if (fastcgi->header[0] != FCGI_VERSION_1)
        return lose(fastcgi);
    if (id == FCGI_NULL_REQUEST_ID) {
        if (type != FCGI_GET_VALUES)
            return unknown_type(fastcgi, reply);
        fastcgi->record = RECORD_VALUES;
        memset(&fastcgi->values, 0, sizeof fastcgi->values);
        memset(fastcgi->asked, 0, sizeof fastcgi->asked);
    } else if (type == FCGI_BEGIN_REQUEST) {
        if (fastcgi->content < sizeof fastcgi->begin)
            return lose(fastcgi);
        fastcgi->record = RECORD_BEGIN;
        fastcgi->begin_length = 0;
    } else if (fastcgi->phase != REQUEST_NONE && id == fastcgi->id) {
        return start_request_record(fastcgi);
    }
    return FASTCGI_MORE;
}

/* Copies as much as is available and fits. Returns the number of bytes copied. */
static size_t take(const unsigned char *bytes, size_t length, unsigned char *out, size_t size,
                   size_t *filled) {
    size_t taken = length < size - *filled ? length : size - *filled;
    if (taken > 0)
        memcpy(out + *filled, bytes, taken);
    *filled += taken;
    return taken;
}

static enum fastcgi_event take_body(struct fastcgi *fastcgi, const unsigned char *bytes, size_t length) {
    struct request *request = fastcgi->request;
    if (length > sizeof request->body - request->length) {
        request->length = sizeof request->body + 1;
        return whole(fastcgi, REQUEST_FINE);
    }
    memcpy(request->body + request->length, bytes, length);
    request->length += length;
    return FASTCGI_MORE;
}

static enum fastcgi_event take_content(struct fastcgi *fastcgi, const unsigned char *bytes, size_t length) {
    switch (fastcgi->record) {
    case RECORD_BEGIN:
        take(bytes, length, fastcgi->begin, sizeof fastcgi->begin, &fastcgi->begin_length);
        break;
    case RECORD_PARAMS:
        read_params(fastcgi, bytes, length);
        break;
    case RECORD_VALUES:
        read_values(fastcgi, bytes, length);
        break;
    case RECORD_STDIN:
        return fastcgi->phase == REQUEST_STDIN ? take_body(fastcgi, bytes, length) : FASTCGI_MORE;
    case RECORD_SKIPPED:
    case RECORD_ABORT:
        break;
    }
    return FASTCGI_MORE;
}

/* The content is complete. An empty record ends a stream (section 3.3). */
static enum fastcgi_event end_record(struct fastcgi *fastcgi, struct fastcgi_reply *reply) {
    bool empty = (fastcgi->header[4] | fastcgi->header[5]) == 0;
    switch (fastcgi->record) {
    case RECORD_BEGIN:
        return begin(fastcgi, reply);
    case RECORD_PARAMS:
        if (!empty)
            break;
        fastcgi->phase = REQUEST_STDIN;
        return between_pairs(&fastcgi->params) ? FASTCGI_MORE : whole(fastcgi, REQUEST_MALFORMED);
    case RECORD_STDIN:
        if (!empty || fastcgi->phase != REQUEST_STDIN)
            break;
        fastcgi->phase = REQUEST_WHOLE;
        return FASTCGI_REQUEST;
    case RECORD_ABORT:
        return fastcgi->phase == REQUEST_NONE ? FASTCGI_MORE : FASTCGI_ABORTED;
    case RECORD_VALUES:
        reply_values(fastcgi, reply);
        break;
    case RECORD_SKIPPED:
        break;
    }
    return FASTCGI_MORE;
}

enum fastcgi_event fastcgi_read(struct fastcgi *fastcgi, const unsigned char *bytes, size_t length,
                                size_t *used, struct fastcgi_reply *reply) {
    enum fastcgi_event event = FASTCGI_MORE;
    for (*used = 0; event == FASTCGI_MORE && !fastcgi->lost;) {
        const unsigned char *at = bytes + *used;
        size_t left = length - *used;
        if (reply->length + REPLY_ROOM > sizeof reply->bytes)
            return FASTCGI_REPLY;
        switch (fastcgi->part) {
        case PART_HEADER:
            *used += take(at, left, fastcgi->header, sizeof fastcgi->header, &fastcgi->header_length);
            if (fastcgi->header_length < sizeof fastcgi->header)
                return FASTCGI_MORE;
            if (fastcgi->phase == REQUEST_WHOLE && fastcgi->header[1] == FCGI_BEGIN_REQUEST)
                return FASTCGI_AGAIN;
            event = start_record(fastcgi, reply);
            fastcgi->part = PART_CONTENT;
            break;
        case PART_CONTENT:
            left = left < fastcgi->content ? left : fastcgi->content;
            fastcgi->content -= left;
            *used += left;
            if (left > 0)
                event = take_content(fastcgi, at, left);
            if (fastcgi->content > 0)
                return event;
            if (event == FASTCGI_MORE)
                event = end_record(fastcgi, reply);
            fastcgi->part = PART_PADDING;
            break;
        case PART_PADDING:
            left = left < fastcgi->padding ? left : fastcgi->padding;
            fastcgi->padding -= left;
            *used += left;
            if (fastcgi->padding > 0)
                return FASTCGI_MORE;
            fastcgi->part = PART_HEADER;
            fastcgi->header_length = 0;
            break;
        }
    }
    return fastcgi->lost && event == FASTCGI_MORE ? FASTCGI_LOST : event;
}

void fastcgi_gather(struct fastcgi *fastcgi, struct request *request, int64_t since) {
    fastcgi->request = request;
    request->since = since;
    request->fault = REQUEST_FINE;
    request->aborted = false;
    request->metadata = (struct request_metadata){0};
    request->length = 0;
}

bool fastcgi_is_mid_message(const struct fastcgi *fastcgi) {
    return fastcgi->early || fastcgi->padding > 0 ||
           (fastcgi->part == PART_HEADER && fastcgi->header_length > 0);
}

void fastcgi_give_up(struct fastcgi *fastcgi) {
    fastcgi->lost = true;
    fastcgi->keep = false;
    whole(fastcgi, REQUEST_INCOMPLETE);
}

/* On the way from Ring to the file that is verified, editors, shells, proxies and JSON libraries can each
 * change a body. */
#define _GNU_SOURCE /* memmem */
#include "mistake.h"

#include "record.h"
#include "ring.h"

#include <ctype.h>
#include <json-c/json.h>
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ssize_t put(const void *text, size_t length, char *out, size_t size) {
    if (length > size)
        return -1;
    memcpy(out, text, length);
    return (ssize_t)length;
}

static ssize_t as_it_is(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    return put(text, length, out, size);
}

/* ---- line breaks and blanks ---- */

static size_t without_end(const char *text, size_t length) {
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    return length;
}

enum line_end { END_NONE, END_LF, END_CRLF };

static ssize_t change_end(const char *text, size_t length, int how, char *out, size_t size) {
    static const char *const ends[] = {[END_NONE] = "", [END_LF] = "\n", [END_CRLF] = "\r\n"};
    size_t added = strlen(ends[how]);
    length = without_end(text, length);
    if (length + added > size)
        return -1;
    memcpy(out, text, length);
    memcpy(out + length, ends[how], added);
    return (ssize_t)(length + added);
}

/* Each line break becomes that one. */
static ssize_t change_line_breaks(const char *text, size_t length, int how, char *out, size_t size) {
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        if (used + 2 > size)
            return -1;
        if (text[i] == '\r' && (how == END_NONE || (i + 1 < length && text[i + 1] == '\n')))
            continue;
        if (text[i] != '\n') {
            out[used++] = text[i];
            continue;
        }
        if (how == END_CRLF)
            out[used++] = '\r';
        if (how != END_NONE)
            out[used++] = '\n';
    }
    return (ssize_t)used;
}

static ssize_t trim(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    while (length > 0 && isspace((unsigned char)*text)) {
        text++;
        length--;
    }
    return put(text, length, out, size);
}

/* ---- encodings ---- */

static ssize_t take_mark_off(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    return length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? put(text + 3, length - 3, out, size) : -1;
}

static ssize_t put_mark_on(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    if (length + 3 > size)
        return -1;
    memcpy(out, "\xef\xbb\xbf", 3);
    memcpy(out + 3, text, length);
    return (ssize_t)(length + 3);
}

static size_t put_utf8(uint32_t c, char *out) {
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t bytes = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = bytes - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(first[bytes] | c);
    return bytes;
}

enum byte_order { LITTLE, BIG };

static uint32_t unit(const char *text, int how) {
    unsigned char low = (unsigned char)text[how == BIG], high = (unsigned char)text[how == LITTLE];
    return (uint32_t)high << 8 | low;
}

static ssize_t from_utf16(const char *text, size_t length, int how, char *out, size_t size) {
    size_t used = 0;
    if (length % 2 != 0 || memchr(text, '\0', length) == NULL)
        return -1;
    for (size_t i = 0; i < length; i += 2) {
        uint32_t c = unit(text + i, how);
        if (i == 0 && c == 0xfeff)
            continue;
        if (c >> 10 == 0x36 && i + 2 < length && unit(text + i + 2, how) >> 10 == 0x37) {
            i += 2;
            c = 0x10000 + ((c & 0x3ff) << 10 | (unit(text + i, how) & 0x3ff));
        }
        if (used + 4 > size)
            return -1;
        used += put_utf8(c, out + used);
    }
    return (ssize_t)used;
}

static ssize_t from_base64(const char *text, size_t length, int how, char *out, size_t size) {
    static const int variants[] = {sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
                                   sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
    size_t made;
    (void)how;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (sodium_base642bin((unsigned char *)out, size, text, length, " \t\r\n", &made, NULL,
                              variants[i]) == 0)
            return (ssize_t)made;
    return -1;
}

/* The program gzip reads what is in a file and writes into a pipe, which is closed when there is no more
 * room. */
static ssize_t run_gunzip(FILE *file, char *out, size_t size) {
    int ends[2], status = -1;
    size_t used = 0;
    ssize_t got = 0;
    if (pipe(ends) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        if (dup2(fileno(file), STDIN_FILENO) >= 0 && dup2(ends[1], STDOUT_FILENO) >= 0) {
            close(ends[0]);
            execlp("gzip", "gzip", "-dcq", (char *)NULL);
        }
        _exit(127);
    }
    close(ends[1]);
    while (child > 0 && used < size && (got = read(ends[0], out + used, size - used)) > 0)
        used += (size_t)got;
    close(ends[0]);
    bool ended = child > 0 && waitpid(child, &status, 0) == child;
    return ended && WIFEXITED(status) && WEXITSTATUS(status) == 0 && got == 0 ? (ssize_t)used : -1;
}

static ssize_t gunzip(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    if (length < 18 || memcmp(text, "\x1f\x8b", 2) != 0) /* RFC 1952 */
        return -1;
    FILE *file = tmpfile();
    if (file == NULL)
        return -1;
    bool written =
        fwrite(text, 1, length, file) == length && fflush(file) == 0 && fseek(file, 0, SEEK_SET) == 0;
    ssize_t made = written ? run_gunzip(file, out, size) : -1;
    fclose(file);
    return made;
}

/* ---- what was put around it ---- */

enum form { FORM_NAME, FORM_VALUE };

/* What a form makes of a body (application/x-www-form-urlencoded), which is its only name or its only value.
 */
static ssize_t from_form(const char *text, size_t length, int how, char *out, size_t size) {
    size_t used = 0, from = 0;
    length = without_end(text, length);
    if (how == FORM_NAME && length > 0 && text[length - 1] == '=')
        length--;
    if (how == FORM_VALUE) {
        const char *equals = memchr(text, '=', length);
        from = equals != NULL ? (size_t)(equals + 1 - text) : length;
    }
    for (size_t i = from; i < length && text[i] != '&'; i++) {
        unsigned char byte = text[i] == '+' ? ' ' : (unsigned char)text[i];
        if (text[i] == '%' && i + 2 < length &&
            sodium_hex2bin(&byte, 1, text + i + 1, 2, NULL, &(size_t){0}, NULL) == 0)
            i += 2;
        if (used == size)
            return -1;
        out[used++] = (char)byte;
    }
    return used > 0 ? (ssize_t)used : -1;
}

static const char *find(const char *text, const char *end, const char *what, size_t length) {
    return text < end ? memmem(text, (size_t)(end - text), what, length) : NULL;
}

/* What stands behind the first blank line: the body of a whole request, or the first part of
 * multipart/form-data, whose boundary is the first line. */
static ssize_t after_head(const char *text, size_t length, int how, char *out, size_t size) {
    const char *end = text + length, *start = find(text, end, "\r\n\r\n", 4);
    const char *line_break = memchr(text, '\n', length);
    (void)how;
    if (start == NULL && (start = find(text, end, "\n\n", 2)) == NULL)
        return -1;
    start += *start == '\r' ? 4 : 2;
    if (length > 2 && memcmp(text, "--", 2) == 0) {
        const char *boundary = find(start, end, text, without_end(text, (size_t)(line_break - text)));
        end = boundary != NULL ? boundary : end;
        end -= end > start && end[-1] == '\n';
        end -= end > start && end[-1] == '\r';
    }
    return put(start, (size_t)(end - start), out, size);
}

static ssize_t from_journal(const char *text, size_t length, int how, char *out, size_t size) {
    struct record record;
    (void)how;
    if (record_parse(text, without_end(text, length), &record) != 0)
        return -1;
    return put(record.event, record.event_length, out, size);
}

/* ---- JSON that was read and printed again ---- */

static struct json_object *parse(const char *text, size_t length) {
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *json = tokener != NULL ? json_tokener_parse_ex(tokener, text, (int)length) : NULL;
    json_tokener_free(tokener);
    return json;
}

/* Prints it, and frees it. */
static ssize_t print(struct json_object *json, int style, char *out, size_t size) {
    size_t length;
    const char *text = json != NULL ? json_object_to_json_string_length(json, style, &length) : NULL;
    ssize_t used = text != NULL ? put(text, length, out, size) : -1;
    json_object_put(json);
    return used;
}

static ssize_t reprint(const char *text, size_t length, int how, char *out, size_t size) {
    return print(parse(text, length), how, out, size);
}

/* With a space after each comma and colon. */
static ssize_t space_out(const char *text, size_t length, int how, char *out, size_t size) {
    size_t used = 0;
    bool quoted = false;
    (void)how;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (used + 2 > size)
            return -1;
        if (!quoted && isspace((unsigned char)c))
            continue;
        out[used++] = c;
        if (quoted && c == '\\' && i + 1 < length)
            out[used++] = text[++i];
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == ',' || c == ':'))
            out[used++] = ' ';
    }
    return (ssize_t)used;
}

enum order { BY_NAME, AS_RING };

struct member {
    const char *name;
    struct json_object *value;
    size_t rank; /* in Ring's order */
};

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static int by_rank(const void *a, const void *b) {
    size_t one = ((const struct member *)a)->rank, other = ((const struct member *)b)->rank;
    return (one > other) - (one < other);
}

/* The place of a name in Ring's documents; the `index`th of the unknown ones comes after all known. */
static size_t rank(const char *name, size_t index) {
    for (size_t i = 0; i < RING_NAMES; i++)
        if (strcmp(name, ring_names[i]) == 0)
            return i;
    return RING_NAMES + index;
}

static struct json_object *in_order(struct json_object *json, enum order order);

static struct json_object *object_in_order(struct json_object *json, enum order order) {
    size_t count = (size_t)json_object_object_length(json), used = 0;
    struct member *members = calloc(count + 1, sizeof *members);
    struct json_object *ordered = json_object_new_object();
    if (members != NULL) {
        json_object_object_foreach(json, name, value) {
            members[used] = (struct member){.name = name, .value = value, .rank = rank(name, used)};
            used++;
        }
        qsort(members, used, sizeof *members, order == BY_NAME ? by_name : by_rank);
        for (size_t i = 0; i < used; i++)
            json_object_object_add(ordered, members[i].name, in_order(members[i].value, order));
    }
    free(members);
    return ordered;
}

/* A copy with the members of each object in that order. json-c limits how deep it can be. */
static struct json_object *in_order(struct json_object *json, enum order order) {
    if (json_object_is_type(json, json_type_object))
        return object_in_order(json, order);
    if (!json_object_is_type(json, json_type_array))
        return json_object_get(json);
    struct json_object *ordered = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(json); i++)
        json_object_array_add(ordered, in_order(json_object_array_get_idx(json, i), order));
    return ordered;
}

static ssize_t reorder(const char *text, size_t length, int how, char *out, size_t size) {
    struct json_object *json = parse(text, length);
    if (!json_object_is_type(json, json_type_object)) {
        json_object_put(json);
        return -1;
    }
    struct json_object *ordered = in_order(json, (enum order)how);
    json_object_put(json);
    return print(ordered, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, out, size);
}

static ssize_t reorder_and_space_out(const char *text, size_t length, int how, char *out, size_t size) {
    char *ordered = malloc(size);
    ssize_t used = ordered != NULL ? reorder(text, length, how, ordered, size) : -1;
    ssize_t made = used >= 0 ? space_out(ordered, (size_t)used, how, out, size) : -1;
    free(ordered);
    return made;
}

static ssize_t from_string(const char *text, size_t length, int how, char *out, size_t size) {
    struct json_object *json = parse(text, length);
    (void)how;
    ssize_t used =
        json_object_is_type(json, json_type_string)
            ? put(json_object_get_string(json), (size_t)json_object_get_string_len(json), out, size)
            : -1;
    json_object_put(json);
    return used;
}

enum wrapping { WRAPPED_PLAIN, WRAPPED_BASE64 };

static ssize_t from_member(const char *text, size_t length, int how, char *out, size_t size) {
    struct json_object *json = parse(text, length), *body = NULL;
    ssize_t used = -1;
    if (json_object_is_type(json, json_type_object) && json_object_object_get_ex(json, "body", &body) &&
        json_object_is_type(body, json_type_string))
        used = (how == WRAPPED_BASE64 ? from_base64 : as_it_is)(
            json_object_get_string(body), (size_t)json_object_get_string_len(body), how, out, size);
    json_object_put(json);
    return used;
}

#define RAW "verify and pass on the raw bytes"
#define REPRINTED "the same JSON printed differently: something parsed the body and printed it again; " RAW
#define SORTED "the same JSON with its members sorted by name: the signer sorts them, and Ring does not"
#define CONVERTED "an editor, git or a text-mode transfer converted the line breaks; copy the file as binary"
#define FORM "the body was sent as application/x-www-form-urlencoded; " RAW

const struct mistake body_mistakes[] = {
    {change_end, END_NONE,
     "them without the line break at the end: an editor or echo added it; use printf %s, or curl "
     "--data-binary"},
    {change_end, END_LF, "them with a line break at the end: it was signed, and was lost since"},
    {change_end, END_CRLF, "them with CR LF at the end: it was signed, and was lost since"},
    {change_line_breaks, END_NONE,
     "them without any line breaks: curl -d removes those, --data-binary does not"},
    {change_line_breaks, END_LF, "them with LF in place of CR LF: " CONVERTED},
    {change_line_breaks, END_CRLF, "them with CR LF in place of LF: " CONVERTED},
    {trim, 0, "them without the surrounding white space: send and save the body unchanged"},
    {take_mark_off, 0,
     "them without the byte order mark: an editor or PowerShell added it; save as UTF-8 without BOM"},
    {put_mark_on, 0, "them with a byte order mark before them: it was signed, and was lost since"},
    {from_utf16, LITTLE,
     "them in UTF-8, and the file is UTF-16: PowerShell's > writes that; save the body with curl -o, or as "
     "UTF-8"},
    {from_utf16, BIG, "them in UTF-8, and the file is UTF-16 (big-endian): save the body as UTF-8"},
    {gunzip, 0,
     "them gunzipped: the plain body was signed; turn the compression off, or decompress with gzip -d"},
    {from_base64, 0,
     "them decoded from base64: a gateway or a log encoded the body; decode it with base64 -d first"},
    {from_form, FORM_NAME, "them decoded as a form: " FORM},
    {from_form, FORM_VALUE, "the value of the form's field: " FORM},
    {after_head, 0, "what follows the first blank line: headers are not signed; give the body alone"},
    {from_journal, 0,
     "the event in this line of the journal: give the event alone, or use `doorpost check` for the journal"},
    {from_member, WRAPPED_BASE64,
     "their member \"body\", decoded from base64: this is a line of rejected/ or a gateway's event; give the "
     "decoded body alone"},
    {from_member, WRAPPED_PLAIN,
     "their member \"body\": this is a gateway's event; give the text of that member alone"},
    {from_string, 0, "the text in this JSON string: the body was encoded as JSON twice; " RAW},
    {reprint, JSON_C_TO_STRING_PLAIN, REPRINTED},
    {reprint, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, REPRINTED},
    {reprint, JSON_C_TO_STRING_SPACED, REPRINTED},
    {reprint, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE, REPRINTED},
    {reprint, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE, REPRINTED},
    {reprint, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE, REPRINTED},
    {space_out, 0,
     "the same JSON with a space after each comma and colon, as Python's json.dumps() prints it; " RAW},
    {reorder, AS_RING,
     "the same JSON with its members in Ring's order: something sorted them (jq -S, a database); " RAW},
    {reorder, BY_NAME, SORTED},
    {reorder_and_space_out, BY_NAME, SORTED},
    {NULL, 0, NULL}};

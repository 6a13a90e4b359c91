/* Editors, shells, proxies and JSON libraries can each change a body on its way from Ring to the file being
 * verified. */
#define _GNU_SOURCE /* memmem */
#include "mistake.h"

#include "record.h"
#include "reprint.h"

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

static ssize_t unchanged(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    return put(text, length, out, size);
}

/* ---- line breaks and white space ---- */

static size_t length_without_line_end(const char *text, size_t length) {
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    return length;
}

enum line_end { END_NONE, END_LF, END_CRLF };

static ssize_t change_line_end(const char *text, size_t length, int how, char *out, size_t size) {
    static const char *const ends[] = {[END_NONE] = "", [END_LF] = "\n", [END_CRLF] = "\r\n"};
    size_t added = strlen(ends[how]);
    length = length_without_line_end(text, length);
    if (length + added > size)
        return -1;
    memcpy(out, text, length);
    memcpy(out + length, ends[how], added);
    return (ssize_t)(length + added);
}

/* Converts every line break to the one given. */
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

/* Includes NUL and Ctrl-Z, because some programs end a text with one. */
static bool is_blank(char c) {
    return isspace((unsigned char)c) || c == '\0' || c == '\x1a';
}

static ssize_t trim(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    while (length > 0 && is_blank(text[length - 1]))
        length--;
    while (length > 0 && is_blank(*text)) {
        text++;
        length--;
    }
    return put(text, length, out, size);
}

/* ---- encodings ---- */

static ssize_t remove_bom(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    return length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? put(text + 3, length - 3, out, size) : -1;
}

static ssize_t add_bom(const char *text, size_t length, int how, char *out, size_t size) {
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

static ssize_t from_latin1(const char *text, size_t length, int how, char *out, size_t size) {
    size_t used = 0;
    (void)how;
    for (size_t i = 0; i < length; i++) {
        if (used + 2 > size)
            return -1;
        used += put_utf8((unsigned char)text[i], out + used);
    }
    return (ssize_t)used;
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
    size_t written_length;
    (void)how;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (sodium_base642bin((unsigned char *)out, size, text, length, " \t\r\n", &written_length, NULL,
                              variants[i]) == 0)
            return (ssize_t)written_length;
    return -1;
}

static ssize_t to_base64(const char *text, size_t length, int how, char *out, size_t size) {
    size_t needed = sodium_base64_encoded_len(length, how); /* including the NUL */
    if (needed > size)
        return -1;
    sodium_bin2base64(out, size, (const unsigned char *)text, length, how);
    return (ssize_t)needed - 1;
}

/* Runs gzip on the file, reading its output from a pipe. Closes the pipe when `out` is full. */
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
    ssize_t written_length = written ? run_gunzip(file, out, size) : -1;
    fclose(file);
    return written_length;
}

/* ---- wrappings ---- */

enum form { FORM_NAME, FORM_VALUE };

/* Decodes a body that was sent as the only name or the only value of a form
 * (application/x-www-form-urlencoded). */
static ssize_t from_form(const char *text, size_t length, int how, char *out, size_t size) {
    size_t used = 0, from = 0;
    length = length_without_line_end(text, length);
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

static ssize_t unquote(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    length = length_without_line_end(text, length);
    bool quoted = length > 2 && strchr("\"'`", text[0]) != NULL && text[length - 1] == text[0];
    return quoted ? put(text + 1, length - 2, out, size) : -1;
}

static ssize_t nothing(const char *text, size_t length, int how, char *out, size_t size) {
    (void)text, (void)length, (void)how, (void)out, (void)size;
    return 0;
}

static const char *find(const char *text, const char *end, const char *what, size_t length) {
    return text < end ? memmem(text, (size_t)(end - text), what, length) : NULL;
}

/* Extracts what follows the first blank line: a request's body, or the first part of multipart/form-data,
 * whose boundary is the first line. */
static ssize_t after_head(const char *text, size_t length, int how, char *out, size_t size) {
    const char *end = text + length, *start = find(text, end, "\r\n\r\n", 4);
    const char *line_break = memchr(text, '\n', length);
    (void)how;
    if (start == NULL && (start = find(text, end, "\n\n", 2)) == NULL)
        return -1;
    start += *start == '\r' ? 4 : 2;
    if (length > 2 && memcmp(text, "--", 2) == 0) {
        const char *boundary =
            find(start, end, text, length_without_line_end(text, (size_t)(line_break - text)));
        end = boundary != NULL ? boundary : end;
        end -= end > start && end[-1] == '\n';
        end -= end > start && end[-1] == '\r';
    }
    return put(start, (size_t)(end - start), out, size);
}

static ssize_t from_journal(const char *text, size_t length, int how, char *out, size_t size) {
    struct record record;
    (void)how;
    if (record_parse(text, length_without_line_end(text, length), &record) != 0)
        return -1;
    return put(record.event, record.event_length, out, size);
}

/* ---- JSON in JSON ---- */

static ssize_t from_string(const char *text, size_t length, int how, char *out, size_t size) {
    bool quoted = length > 0 && text[0] == '"'; /* json-c also accepts other quotation marks */
    struct json_object *json = quoted ? reprint_parse(text, length) : NULL;
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
    struct json_object *json = reprint_parse(text, length), *body = NULL;
    ssize_t used = -1;
    if (json_object_is_type(json, json_type_object) && json_object_object_get_ex(json, "body", &body) &&
        json_object_is_type(body, json_type_string))
        used = (how == WRAPPED_BASE64 ? from_base64 : unchanged)(
            json_object_get_string(body), (size_t)json_object_get_string_len(body), how, out, size);
    json_object_put(json);
    return used;
}

#define RAW "verify and pass on the raw bytes"
#define AGAIN ": the body was parsed and serialized again; " RAW
#define CONVERTED "an editor, git or a text-mode transfer converted the line breaks; copy the file as binary"
#define FORM "the body was sent as application/x-www-form-urlencoded; " RAW
#define ENCODED "their base64 encoding: the signer encoded the body before signing; sign the raw bytes"

const struct mistake body_mistakes[] = {
    {change_line_end, END_NONE,
     "these bytes without the final line break: an editor or echo added it; use printf %s, or curl "
     "--data-binary",
     0},
    {change_line_end, END_LF, "these bytes with a final line break: it was signed and then lost", 0},
    {change_line_end, END_CRLF, "these bytes with a final CR LF: it was signed and then lost", 0},
    {trim, 0,
     "these bytes without the leading and trailing white space or NUL characters: send and save the body "
     "unchanged",
     0},
    {change_line_breaks, END_NONE,
     "these bytes without line breaks: curl -d removes them, --data-binary does not", 0},
    {change_line_breaks, END_LF, "these bytes with LF instead of CR LF: " CONVERTED, 0},
    {change_line_breaks, END_CRLF, "these bytes with CR LF instead of LF: " CONVERTED, 0},
    {remove_bom, 0,
     "these bytes without the byte order mark: an editor or PowerShell added it; save as UTF-8 without BOM",
     0},
    {add_bom, 0, "these bytes with a byte order mark prepended: it was signed and then lost", 0},
    {from_utf16, LITTLE,
     "these bytes in UTF-8, but the file is UTF-16: PowerShell's > writes UTF-16; save the body with curl "
     "-o, or as UTF-8",
     0},
    {from_utf16, BIG, "these bytes in UTF-8, but the file is UTF-16 (big-endian): save the body as UTF-8", 0},
    {from_latin1, 0,
     "these bytes in UTF-8, but the file is Latin-1 (ANSI in Windows): save the body as UTF-8", 0},
    {gunzip, 0,
     "these bytes gunzipped: the uncompressed body was signed; disable compression, or decompress with gzip "
     "-d",
     0},
    {from_base64, 0,
     "these bytes decoded from base64: a gateway or a log encoded the body; decode it with base64 -d first",
     0},
    {from_form, FORM_NAME, "these bytes decoded as a form: " FORM, 0},
    {from_form, FORM_VALUE, "the value of the form's field: " FORM, 0},
    {after_head, 0, "the part after the first blank line: headers are not signed; pass only the body", 0},
    {from_journal, 0,
     "the event in this journal line: pass only the event, or verify the journal with `doorpost check`", 0},
    {from_member, WRAPPED_BASE64,
     "the member \"body\", decoded from base64: this is a line of rejected/ or a gateway's event; pass only "
     "the decoded body",
     0},
    {from_member, WRAPPED_PLAIN,
     "the member \"body\": this is a gateway's event; pass only the text of that member", 0},
    {from_string, 0, "the text in this JSON string: the body was encoded as JSON twice; " RAW, 0},
    {unquote, 0, "these bytes without the surrounding quotation marks: pass only the body", 0},
    {reprint, STYLE(AS_IT_IS, COMPACT), "the same JSON serialized differently, without white space" AGAIN,
     STYLE(AS_IT_IS, SPACED) - 1},
    {reprint, STYLE(AS_IT_IS, SPACED),
     "the same JSON serialized differently, with a space after each comma and colon, as Python's "
     "json.dumps() does" AGAIN,
     STYLE(AS_IT_IS, BY_2) - 1},
    {reprint, STYLE(AS_IT_IS, BY_2), "the same JSON serialized differently, indented" AGAIN,
     STYLE(AS_RING, COMPACT) - 1},
    {reprint, STYLE(AS_RING, COMPACT),
     "the same JSON with its members in Ring's order: something sorted them (jq -S, a database); " RAW,
     STYLE(BY_NAME, COMPACT) - 1},
    {reprint, STYLE(BY_NAME, COMPACT),
     "the same JSON with its members sorted by name: the signer sorts them, but Ring does not",
     STYLE(BY_NAME, SPACINGS) - 1},
    {to_base64, sodium_base64_VARIANT_ORIGINAL, ENCODED, 0},
    {to_base64, sodium_base64_VARIANT_URLSAFE, ENCODED, 0},
    {nothing, 0, "an empty body: the stream had already been read when it was signed or forwarded; " RAW, 0},
    {NULL, 0, NULL, 0}};

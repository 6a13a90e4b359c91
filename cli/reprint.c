/* JSON libraries print the same document with different white space, escapes, number formats, and member
 * order. */
#define _GNU_SOURCE /* open_memstream */
#include "reprint.h"

#include "quote.h"
#include "ring.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT 9007199254740992.0 /* 2^53; a double holds no larger integer exactly */

static const struct escapes {
    const char *also; /* also escaped, as \uXXXX */
    bool all;         /* so are all non-ASCII characters */
    const char *digits;
} libraries[] = {
    {"", false, "0123456789abcdef"},        /* JavaScript, Ruby */
    {"", true, "0123456789abcdef"},         /* Python, PHP */
    {"<>&", false, "0123456789abcdef"},     /* Go */
    {"<>&='", false, "0123456789abcdef"},   /* Gson */
    {"\"<>&'+`", true, "0123456789ABCDEF"}, /* .NET */
};
_Static_assert(sizeof libraries / sizeof *libraries * 4 == STYLES,
               "one of each with and without the other two");

struct printer {
    FILE *out;
    const struct escapes *escapes;
    bool slashes; /* escape slashes, as PHP does */
    bool whole;   /* print numbers without a fraction as integers */
    enum spacing spacing;
    enum order order;
};

/* ---- strings and numbers ---- */

static void print_unit(const struct printer *printer, uint32_t unit) {
    const char *digits = printer->escapes->digits;
    fprintf(printer->out, "\\u%c%c%c%c", digits[unit >> 12 & 15], digits[unit >> 8 & 15],
            digits[unit >> 4 & 15], digits[unit & 15]);
}

static void print_escaped(const struct printer *printer, uint32_t character) {
    if (character < 0x10000) {
        print_unit(printer, character);
        return;
    }
    print_unit(printer, 0xd800 | (character - 0x10000) >> 10); /* RFC 8259, section 7 */
    print_unit(printer, 0xdc00 | ((character - 0x10000) & 0x3ff));
}

static void print_character(const struct printer *printer, const char *text, size_t size,
                            uint32_t character) {
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs of a character and its escape letter */
    const struct escapes *escapes = printer->escapes;
    bool ascii = character < 0x80;
    if (ascii && character > 0 && strchr(escapes->also, (int)character) != NULL) {
        print_escaped(printer, character);
        return;
    }
    for (const char *one = shorts; ascii && *one != '\0'; one += 2)
        if (*one == text[0]) {
            fprintf(printer->out, "\\%c", one[1]);
            return;
        }
    if (character < 0x20 || (!ascii && escapes->all)) {
        print_escaped(printer, character);
        return;
    }
    if (printer->slashes && text[0] == '/')
        fputc('\\', printer->out);
    fwrite(text, 1, size, printer->out);
}

static void print_string(const struct printer *printer, const char *text, size_t length) {
    uint32_t character;
    fputc('"', printer->out);
    for (size_t at = 0, size; at < length; at += size) {
        size = utf8_decode(text + at, length - at, &character);
        if (size > 0)
            print_character(printer, text + at, size, character);
        else /* not UTF-8 */
            fputc(text[at], printer->out), size = 1;
    }
    fputc('"', printer->out);
}

static void print_double(const struct printer *printer, struct json_object *json) {
    double value = json_object_get_double(json);
    if (printer->whole && value > -EXACT && value < EXACT && value == (double)(int64_t)value)
        fprintf(printer->out, "%.0f", value);
    else
        fputs(json_object_to_json_string(json), printer->out); /* keeps a fraction as it was written */
}

/* ---- lists and objects ---- */

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

/* The position of a name in Ring's documents; the `index`th unknown name sorts after all known ones. */
static size_t rank(const char *name, size_t index) {
    for (size_t i = 0; i < RING_NAMES; i++)
        if (strcmp(name, ring_names[i]) == 0)
            return i;
    return RING_NAMES + index;
}

static void break_line(const struct printer *printer, int depth) {
    static const char *const steps[SPACINGS] = {[BY_2] = "  ", [BY_4] = "    ", [BY_TAB] = "\t"};
    if (steps[printer->spacing] == NULL)
        return;
    fputc('\n', printer->out);
    while (depth-- > 0)
        fputs(steps[printer->spacing], printer->out);
}

static void begin_item(const struct printer *printer, size_t index, int depth) {
    if (index > 0)
        fputs(printer->spacing == SPACED ? ", " : ",", printer->out);
    break_line(printer, depth);
}

/* Recursion is safe: json-c limits the depth. */
static void print(const struct printer *printer, struct json_object *json, int depth);

static void print_array(const struct printer *printer, struct json_object *json, int depth) {
    size_t count = json_object_array_length(json);
    fputc('[', printer->out);
    for (size_t i = 0; i < count; i++) {
        begin_item(printer, i, depth + 1);
        print(printer, json_object_array_get_idx(json, i), depth + 1);
    }
    if (count > 0)
        break_line(printer, depth);
    fputc(']', printer->out);
}

static void print_object(const struct printer *printer, struct json_object *json, int depth) {
    size_t count = 0;
    struct member *members = calloc((size_t)json_object_object_length(json) + 1, sizeof *members);
    if (members == NULL)
        return;
    json_object_object_foreach(json, name, value) {
        members[count] = (struct member){.name = name, .value = value, .rank = rank(name, count)};
        count++;
    }
    if (printer->order != AS_IT_IS)
        qsort(members, count, sizeof *members, printer->order == BY_NAME ? by_name : by_rank);
    fputc('{', printer->out);
    for (size_t i = 0; i < count; i++) {
        begin_item(printer, i, depth + 1);
        print_string(printer, members[i].name, strlen(members[i].name));
        fputs(printer->spacing == COMPACT ? ":" : ": ", printer->out);
        print(printer, members[i].value, depth + 1);
    }
    if (count > 0)
        break_line(printer, depth);
    fputc('}', printer->out);
    free(members);
}

static void print(const struct printer *printer, struct json_object *json, int depth) {
    switch (json_object_get_type(json)) {
    case json_type_object:
        print_object(printer, json, depth);
        break;
    case json_type_array:
        print_array(printer, json, depth);
        break;
    case json_type_string:
        print_string(printer, json_object_get_string(json), (size_t)json_object_get_string_len(json));
        break;
    case json_type_double:
        print_double(printer, json);
        break;
    default:
        fputs(json_object_to_json_string(json), printer->out);
    }
}

struct json_object *reprint_parse(const char *text, size_t length) {
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *json = tokener != NULL ? json_tokener_parse_ex(tokener, text, (int)length) : NULL;
    size_t end = tokener != NULL ? json_tokener_get_parse_end(tokener) : 0;
    json_tokener_free(tokener);
    while (end < length && isspace((unsigned char)text[end]))
        end++;
    if (end == length)
        return json;
    json_object_put(json);
    return NULL;
}

ssize_t reprint(const char *text, size_t length, int how, char *out, size_t size) {
    struct json_object *json = reprint_parse(text, length);
    char *made = NULL;
    size_t made_length = 0;
    struct printer printer = {.out = json != NULL ? open_memstream(&made, &made_length) : NULL,
                              .escapes = &libraries[how % STYLES / 4],
                              .slashes = how % 2 != 0,
                              .whole = how / 2 % 2 != 0,
                              .spacing = (enum spacing)(how / STYLES % SPACINGS),
                              .order = (enum order)(how / STYLES / SPACINGS)};
    bool printed = printer.out != NULL;
    if (printed) {
        print(&printer, json, 0);
        printed = fclose(printer.out) == 0 && made_length <= size;
    }
    if (printed)
        memcpy(out, made, made_length);
    free(made);
    json_object_put(json);
    return printed ? (ssize_t)made_length : -1;
}

/* The assembler copies the files into the program's read-only data (.incbin; paths are relative to the root
 * of the tree). A server that has the program has the page that belongs to it. */
#include "assets.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EMBED(symbol, file)                                                  \
    __asm__(".pushsection .rodata\n"                                         \
            "file_" #symbol ": .incbin \"cgi/door/page/" file "\"\n"         \
            "file_" #symbol "_end: .byte 0\n"                                \
            ".popsection\n");                                                \
    extern const char file_##symbol[] __attribute__((visibility("hidden"))), \
        file_##symbol##_end[] __attribute__((visibility("hidden")));

/* symbol, file, type; served by name */
#define FILES(row)                                                                          \
    row(app_css, "app.css", "text/css; charset=utf-8", true)                                \
        row(app_js, "app.js", "text/javascript; charset=utf-8", true)                       \
            row(icon, "icon.svg", "image/svg+xml", true)                                    \
                row(manifest, "manifest.json", "application/manifest+json", true)           \
                    row(index, "index.html", "text/html; charset=utf-8", false)             \
                        row(link, "link.html", "text/html; charset=utf-8", false)           \
                            row(message, "message.html", "text/html; charset=utf-8", false) \
                                row(placeholder, "placeholder.svg", "image/svg+xml", false) \
                                    row(signin, "signin.html", "text/html; charset=utf-8", false)

#define EMBED_ROW(symbol, file, type, served) EMBED(symbol, file)
FILES(EMBED_ROW)
#if __has_include("page/icon-192.png")
EMBED(icon_192, "icon-192.png")
#endif

#define TABLE_ROW(symbol, file, type, served) {file, type, served, file_##symbol, file_##symbol##_end},
static const struct asset {
    const char *file, *type;
    bool served;
    const char *bytes, *end;
} assets[] = {FILES(TABLE_ROW)
#if __has_include("page/icon-192.png")
                  TABLE_ROW(icon_192, "icon-192.png", "image/png", true)
#endif
};

static const struct asset *find(const char *file) {
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++)
        if (strcmp(assets[i].file, file) == 0)
            return &assets[i];
    return NULL;
}

const char *asset_find(const char *file, const char **type, size_t *length) {
    const struct asset *asset = find(file);
    if (asset == NULL)
        return NULL;
    *type = asset->type;
    *length = (size_t)(asset->end - asset->bytes);
    return asset->bytes;
}

bool asset_serve(struct exchange *exchange, const char *file) {
    const struct asset *asset = find(file);
    unsigned char hash[crypto_generichash_BYTES_MIN];
    char hex[2 * sizeof hash + 1], tag[sizeof hex + 2], fields[160];
    if (asset == NULL || !asset->served)
        return false;
    size_t length = (size_t)(asset->end - asset->bytes);
    crypto_generichash(hash, sizeof hash, (const unsigned char *)asset->bytes, length, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    snprintf(tag, sizeof tag, "\"%s\"", hex);
    snprintf(fields, sizeof fields, "Cache-Control: max-age=3600\r\nETag: %s\r\n", tag);
    bool same = strstr(exchange_variable(exchange, "HTTP_IF_NONE_MATCH"), tag) != NULL;
    exchange_answer(exchange, same ? 304 : 200, asset->type, fields, asset->bytes, length);
    return true;
}

void asset_answer(struct exchange *exchange, int status, const char *name) {
    const struct asset *asset = find(name);
    if (asset != NULL)
        exchange_answer(exchange, status, asset->type, "", asset->bytes, (size_t)(asset->end - asset->bytes));
}

/* ---- templates ---- */

static const char *blank_value(const struct blank *blanks, const char *name, size_t length) {
    for (; blanks->name != NULL; blanks++)
        if (strncmp(blanks->name, name, length) == 0 && blanks->name[length] == '\0')
            return blanks->value;
    return "";
}

/* Writes a value as HTML text, which is also right in a quoted attribute. */
static void put_escaped(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        const char *entity = *text == '&'    ? "&amp;"
                             : *text == '<'  ? "&lt;"
                             : *text == '>'  ? "&gt;"
                             : *text == '"'  ? "&quot;"
                             : *text == '\'' ? "&#39;"
                                             : NULL;
        if (entity != NULL)
            fputs(entity, out);
        else
            fputc(*text, out);
    }
}

static void fill(FILE *out, const char *text, const struct blank *blanks) {
    for (const char *open; (open = strstr(text, "{{")) != NULL;) {
        const char *close = strstr(open, "}}");
        if (close == NULL)
            break;
        fwrite(text, 1, (size_t)(open - text), out);
        put_escaped(out, blank_value(blanks, open + 2, (size_t)(close - open) - 2));
        text = close + 2;
    }
    fputs(text, out);
}

void asset_page(struct exchange *exchange, int status, const char *file, const char *fields,
                const struct blank *blanks) {
    const struct asset *asset = find(file);
    char *page = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&page, &length);
    if (out != NULL && asset != NULL)
        fill(out, asset->bytes, blanks);
    if (out == NULL || fclose(out) != 0 || asset == NULL)
        exchange_error(exchange, 503, "memory", "No memory is left. Try again.");
    else
        exchange_answer(exchange, status, asset->type, fields, page, length);
    free(page);
}

void asset_message(struct exchange *exchange, int status, const char *title, const char *message) {
    const char *fields = status == 429 ? "Retry-After: 2\r\n" : status == 503 ? "Retry-After: 30\r\n" : "";
    asset_page(exchange, status, "message.html", fields,
               (struct blank[]){{"title", title}, {"message", message}, {NULL, NULL}});
}

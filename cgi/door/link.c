/* Ring's two URLs of account linking: the Token Exchange URL, where Ring posts an authorization code, and the
 * Account Link URL, to which it sends the user's browser. Anyone can post to the first; api_exchange() limits
 * how many codes go to Ring. */
#include "api.h"
#include "assets.h"
#include "linking.h"
#include "page.h"
#include "routes.h"
#include "signin.h"

#include <ctype.h>
#include <json-c/json.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define CODE_SIZE 2048
#define TIME_SIZE 21

/* ---- Token Exchange URL ---- */

static const char *const code_names[] = {"code", "authorization_code"};

static bool is_code(const char *code) {
    for (const char *at = code; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return code[0] != '\0';
}

static bool code_in_json(const struct exchange *exchange, char out[CODE_SIZE]) {
    struct json_tokener *parser = json_tokener_new_ex(8);
    struct json_object *body = NULL, *value;
    bool found = false;
    if (parser != NULL)
        body = json_tokener_parse_ex(parser, exchange->body, (int)exchange->length);
    for (size_t i = 0; i < 2 && !found && json_object_is_type(body, json_type_object); i++)
        if (json_object_object_get_ex(body, code_names[i], &value) &&
            json_object_is_type(value, json_type_string) &&
            json_object_get_string_len(value) == (int)strlen(json_object_get_string(value)))
            found = snprintf(out, CODE_SIZE, "%s", json_object_get_string(value)) < CODE_SIZE;
    json_object_put(body);
    if (parser != NULL)
        json_tokener_free(parser);
    return found;
}

/* The format is not documented, so what is there counts, and not the Content-Type. */
static bool find_code(const struct exchange *exchange, char out[CODE_SIZE]) {
    return (code_in_json(exchange, out) || exchange_form(exchange, code_names[0], out, CODE_SIZE) ||
            exchange_form(exchange, code_names[1], out, CODE_SIZE)) &&
           is_code(out);
}

static void answer_exchange(struct exchange *exchange, int result) {
    static const char ok[] = "{\"status\":\"ok\"}\n";
    if (result == 0)
        exchange_answer(exchange, 200, "application/json", "", ok, sizeof ok - 1);
    else if (result == ERROR_INVALID)
        exchange_error(exchange, 502, "refused", "Ring refused the code.");
    else if (result == ERROR_TIMEOUT)
        exchange_error(exchange, 504, "timeout",
                       "Ring did not answer, or too many codes are being exchanged.");
    else
        exchange_error(exchange, 503, "unavailable", "The code could not be exchanged.");
}

void route_exchange(struct exchange *exchange) {
    char code[CODE_SIZE];
    if (exchange_body(exchange) != 0)
        return;
    if (!find_code(exchange, code)) {
        exchange_error(exchange, 400, "code", "There is no code in the body.");
        return;
    }
    int result = api_exchange(&exchange->page->door, code, &exchange->cause);
    sodium_memzero(code, sizeof code);
    answer_exchange(exchange, result);
}

/* ---- Account Link URL ---- */

static bool find_nonce(const struct exchange *exchange, char nonce[NONCE_SIZE], char time[TIME_SIZE]) {
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    return exchange_query(exchange, "nonce", nonce, NONCE_SIZE) &&
           exchange_query(exchange, "time", time, TIME_SIZE) && nonce[0] != '\0' && time[0] != '\0' &&
           strspn(nonce, base64) == strlen(nonce) && strspn(time, "0123456789") == strlen(time);
}

static void refuse_nonce(struct exchange *exchange) {
    asset_message(exchange, 400, "This link is not complete",
                  "Open the Ring app, and choose this app's Sign in there again.");
}

void route_account(struct exchange *exchange) {
    char nonce[NONCE_SIZE], time[TIME_SIZE], query[NONCE_SIZE + TIME_SIZE + 16];
    if (!find_nonce(exchange, nonce, time)) {
        refuse_nonce(exchange);
        return;
    }
    snprintf(query, sizeof query, "nonce=%s&time=%s", nonce, time);
    asset_page(exchange, 200, "link.html", "",
               (struct blank[]){{"query", query}, {"user", exchange->user}, {NULL, NULL}});
}

/* The keys are this request's own: matching overwrites their state, and another thread may match too. */
static int claim(struct exchange *exchange, const char *nonce, const char *time) {
    struct page *page = exchange->page;
    struct keys *keys = keys_alloc();
    int result = keys == NULL ? FAIL(&exchange->cause, ERROR_SYSTEM, "not enough memory for the keys")
                              : keys_load(keys, page->config.key_file, &exchange->cause);
    bool loaded = result == 0;
    if (loaded)
        result = linking_claim(&page->door, keys, exchange->user, nonce, time, &exchange->cause);
    keys_free(keys);
    if (result != 0 && !loaded)
        asset_message(exchange, 503, "Not connected", "The server cannot check the link; its log says why.");
    return result;
}

static void answer_claim(struct exchange *exchange, int result) {
    char why[sizeof exchange->cause.text + 1];
    snprintf(why, sizeof why, "%s.", exchange->cause.text);
    why[0] = (char)toupper((unsigned char)why[0]);
    if (result == 0)
        signin_redirect(exchange, "?linked=1", "");
    else if (result == ERROR_INVALID)
        asset_message(exchange, 400, "Not connected", why);
    else
        asset_message(exchange, result == ERROR_TIMEOUT ? 504 : 502, "Not connected yet", why);
}

void route_link(struct exchange *exchange) {
    char nonce[NONCE_SIZE], time[TIME_SIZE];
    if (!find_nonce(exchange, nonce, time)) {
        refuse_nonce(exchange);
        return;
    }
    if (exchange->user[0] == '\0') {
        signin_ask(exchange, 403, "Sign in to connect the account.");
        return;
    }
    answer_claim(exchange, claim(exchange, nonce, time));
}

#include "signin.h"

#include "assets.h"
#include "login.h"
#include "page.h"
#include "routes.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define NEXT_SIZE 1024
#define PATH_SIZE 1024
#define PASSWORD_SIZE 4097
#define COOKIE_FIELD "Set-Cookie: __Host-doorpost=%s; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%d\r\n"

static bool is_visible(const char *text) {
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

/* Only a query string: it cannot lead to another site. */
static bool is_next(const char *next) {
    return next[0] == '?' && strlen(next) < NEXT_SIZE && is_visible(next);
}

static void answer_form(struct exchange *exchange, int status, const char *message, const char *next) {
    const char *fields = status == 429 ? "Retry-After: 2\r\n" : "";
    asset_page(exchange, status, "signin.html", fields,
               (struct blank[]){{"message", message}, {"next", next}, {NULL, NULL}});
}

/* The query of the page that this request belongs to: all of it, or what follows ?/NAME. */
static const char *page_query(const struct exchange *exchange) {
    const char *query = exchange->query;
    if (query[0] == '/') {
        query += strcspn(query, "&");
        query += query[0] == '&';
    }
    return query[0] != '/' && strlen(query) < NEXT_SIZE - 1 ? query : "";
}

void signin_ask(struct exchange *exchange, int status, const char *message) {
    char next[NEXT_SIZE];
    if (exchange->page->config.door_login == LOGIN_REMOTE_USER) {
        explain(&exchange->cause,
                "DOORPOST_DOOR_LOGIN is remote-user, but the web server sets no REMOTE_USER "
                "that is a user's name: let it require a sign-in for this URL");
        asset_message(exchange, 403, "Not signed in", "The web server has not signed you in.");
        return;
    }
    snprintf(next, sizeof next, "?%s", page_query(exchange));
    answer_form(exchange, status, message, next[1] != '\0' && is_next(next) ? next : "");
}

/* The path of this request's URL. Two slashes at its beginning would name another site (RFC 3986, section
 * 4.2). */
static void own_path(const struct exchange *exchange, char out[PATH_SIZE]) {
    const char *path = exchange_variable(exchange, "REQUEST_URI");
    if (path[0] != '/')
        path = exchange_variable(exchange, "SCRIPT_NAME");
    while (path[0] == '/' && (path[1] == '/' || path[1] == '\\'))
        path++;
    snprintf(out, PATH_SIZE, "%.*s", (int)strcspn(path, "?#"), path);
    if (out[0] != '/' || strlen(path) >= PATH_SIZE || !is_visible(out))
        snprintf(out, PATH_SIZE, "?");
}

void signin_redirect(struct exchange *exchange, const char *query, const char *fields) {
    char path[PATH_SIZE], all[PATH_SIZE + NEXT_SIZE + 512];
    own_path(exchange, path);
    if (path[0] == '?' && query[0] == '?')
        path[0] = '\0';
    snprintf(all, sizeof all, "Location: %s%s\r\n%s", path, query, fields);
    exchange_answer(exchange, 303, NULL, all, "", 0);
}

static void answer_cookie(struct exchange *exchange, const char *user, const char *next) {
    char cookie[LOGIN_COOKIE_SIZE], fields[512];
    if (login_cookie(&exchange->page->door, user, cookie, &exchange->cause) != 0) {
        asset_message(exchange, 503, "Not signed in", "The server cannot sign you in now; its log says why.");
        return;
    }
    snprintf(fields, sizeof fields, COOKIE_FIELD, cookie, LOGIN_DAYS * 86400);
    signin_redirect(exchange, next, fields);
}

/* Both routes exist only if the page signs people in itself. */
static bool is_elsewhere(struct exchange *exchange) {
    if (exchange->page->config.door_login == LOGIN_REMOTE_USER)
        exchange_error(exchange, 404, "missing", "The web server signs people in and out.");
    return exchange->page->config.door_login == LOGIN_REMOTE_USER;
}

static int check(struct exchange *exchange, const char *user) {
    char password[PASSWORD_SIZE];
    int result = ERROR_INVALID;
    if (exchange_form(exchange, "password", password, sizeof password))
        result = login_check(&exchange->page->door, exchange_variable(exchange, "REMOTE_ADDR"), user,
                             password, &exchange->cause);
    sodium_memzero(password, sizeof password);
    return result;
}

void route_login(struct exchange *exchange) {
    char user[USER_SIZE] = "", next[NEXT_SIZE];
    if (is_elsewhere(exchange) || exchange_body(exchange) != 0)
        return;
    if (!exchange_form(exchange, "next", next, sizeof next) || !is_next(next))
        next[0] = '\0';
    if (!exchange_form(exchange, "user", user, sizeof user))
        user[0] = '\0';
    switch (check(exchange, user)) {
    case 0:
        answer_cookie(exchange, user, next);
        break;
    case ERROR_INVALID:
        answer_form(exchange, 403, "The name or the password is wrong.", next);
        break;
    case ERROR_TIMEOUT:
        answer_form(exchange, 429, "Somebody else is signing in. Try again.", next);
        break;
    default:
        asset_message(exchange, 503, "Not signed in", "The server cannot sign you in now; its log says why.");
    }
}

void route_logout(struct exchange *exchange) {
    char fields[256];
    if (is_elsewhere(exchange))
        return;
    snprintf(fields, sizeof fields, COOKIE_FIELD, "", 0);
    signin_redirect(exchange, "", fields);
}

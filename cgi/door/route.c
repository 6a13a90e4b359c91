/* The table of requests. The page has one exact URL, and its query string names the route: unlike the path
 * after a program's name, it reaches the program unchanged through every web server. */
#include "route.h"

#include "assets.h"
#include "login.h"
#include "page.h"
#include "routes.h"
#include "setup.h"

#include <stdio.h>
#include <string.h>

#define COOKIE "__Host-doorpost="

enum need {
    MUTATION = 1, /* no other site's page may cause it */
    USER = 2,     /* only signed-in users may ask */
};

static const struct route {
    const char *method, *name;
    void (*serve)(struct exchange *exchange);
    unsigned needs;
} routes[] = {{"GET", "", route_page, 0},
              {"POST", "", route_exchange, 0},
              {"POST", "login", route_login, MUTATION},
              {"POST", "logout", route_logout, MUTATION},
              {"POST", "link", route_link, MUTATION},
              {"GET", "devices", route_devices, USER},
              {"GET", "events", route_events, USER},
              {"GET", "picture", route_picture, USER},
              {"POST", "live", route_live, MUTATION | USER},
              {"DELETE", "live", route_live_end, MUTATION | USER}};
#define ROUTES (sizeof routes / sizeof *routes)

/* ---- who asks ---- */

bool route_is_ours(const struct exchange *exchange) {
    const char *site = exchange_variable(exchange, "HTTP_SEC_FETCH_SITE");
    const char *origin = exchange_variable(exchange, "HTTP_ORIGIN");
    const char *host = exchange_variable(exchange, "HTTP_HOST");
    if (site[0] != '\0')
        return strcmp(site, "same-origin") == 0;
    size_t scheme = strncmp(origin, "https://", 8) == 0 ? 8 : strncmp(origin, "http://", 7) == 0 ? 7 : 0;
    return scheme != 0 && host[0] != '\0' && strcmp(origin + scheme, host) == 0;
}

/* The value of our cookie (RFC 6265, section 4.2), or "". */
static void read_cookie(const struct exchange *exchange, char out[LOGIN_COOKIE_SIZE]) {
    const char *at = exchange_variable(exchange, "HTTP_COOKIE");
    out[0] = '\0';
    while (*at != '\0') {
        at += strspn(at, "; ");
        size_t length = strcspn(at, ";");
        if (length > strlen(COOKIE) && strncmp(at, COOKIE, strlen(COOKIE)) == 0 &&
            length - strlen(COOKIE) < LOGIN_COOKIE_SIZE) {
            snprintf(out, LOGIN_COOKIE_SIZE, "%.*s", (int)(length - strlen(COOKIE)), at + strlen(COOKIE));
            return;
        }
        at += length;
    }
}

/* Sets exchange->user. REMOTE_USER counts only if the operator says so: nginx sets it from a request's
 * Authorization field even if it checks no password. Returns 0 or ERROR_SYSTEM. */
static int identify(struct exchange *exchange) {
    char cookie[LOGIN_COOKIE_SIZE];
    if (exchange->page->config.door_login == LOGIN_REMOTE_USER) {
        const char *user = exchange_variable(exchange, "REMOTE_USER");
        if (login_is_name(user))
            snprintf(exchange->user, sizeof exchange->user, "%s", user);
        return 0;
    }
    read_cookie(exchange, cookie);
    int found = cookie[0] == '\0'
                    ? 0
                    : login_session(&exchange->page->door, cookie, exchange->user, &exchange->cause);
    if (found != 1)
        exchange->user[0] = '\0';
    return found == 1 || found == 0 ? 0 : found;
}

/* ---- which function ---- */

static bool method_is(const struct exchange *exchange, const char *method) {
    return strcmp(exchange->method, method) == 0 ||
           (strcmp(exchange->method, "HEAD") == 0 && strcmp(method, "GET") == 0);
}

/* RFC 9110, section 15.5.6. What is not in the table is a file. */
static void refuse_method(struct exchange *exchange) {
    static const char body[] = "{\"error\":\"method\",\"message\":\"This method is not allowed here.\"}\n";
    char allowed[64] = "", fields[80];
    size_t used = 0;
    for (size_t i = 0; i < ROUTES; i++)
        if (strcmp(routes[i].name, exchange->route) == 0)
            used += (size_t)snprintf(allowed + used, sizeof allowed - used, "%s%s", used > 0 ? ", " : "",
                                     strcmp(routes[i].method, "GET") == 0 ? "GET, HEAD" : routes[i].method);
    snprintf(fields, sizeof fields, "Allow: %s\r\n", used > 0 ? allowed : "GET, HEAD");
    exchange_answer(exchange, 405, "application/json", fields, body, sizeof body - 1);
}

/* Without a name the query is empty, or Ring's or a link's parameters. */
static bool is_well_formed(const struct exchange *exchange) {
    return exchange->query[0] != '/' || exchange->route[0] != '\0';
}

static void dispatch(struct exchange *exchange) {
    const struct route *route = NULL;
    const char *type;
    size_t length;
    bool named = false;
    for (size_t i = 0; i < ROUTES && route == NULL && is_well_formed(exchange); i++)
        if (strcmp(routes[i].name, exchange->route) == 0) {
            named = true;
            route = method_is(exchange, routes[i].method) ? &routes[i] : NULL;
        }
    if (!named && !method_is(exchange, "GET") && asset_find(exchange->route, &type, &length) != NULL)
        named = true;
    if (route == NULL && !named && asset_serve(exchange, exchange->route))
        return;
    if (route == NULL && named)
        refuse_method(exchange);
    else if (route == NULL)
        exchange_error(exchange, 404, "missing", "There is nothing at this address.");
    else if ((route->needs & MUTATION) != 0 && !route_is_ours(exchange))
        exchange_error(exchange, 403, "foreign", "Only this site's own pages may ask for this.");
    else if (route->serve != route_exchange && identify(exchange) != 0)
        exchange_error(exchange, 503, "unavailable", "The users cannot be read. The log says why.");
    else if ((route->needs & USER) != 0 && exchange->user[0] == '\0')
        exchange_error(exchange, 401, "signin", "Sign in first.");
    else
        route->serve(exchange);
}

void route_serve(struct page *page, void *gateway) {
    struct exchange exchange;
    exchange_begin(&exchange, page, gateway);
    if (setup(page, &exchange.cause) != 0)
        asset_message(&exchange, 503, "The door page is not set up",
                      "Run `doorpost doctor` on the server, or look into the web server's error log: it says "
                      "what is missing.");
    else
        dispatch(&exchange);
    exchange_end(&exchange);
}

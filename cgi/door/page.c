/* GET without a name: the page, or Ring's Account Link URL, and the sign-in form before either. */
#include "page.h"
#include "assets.h"
#include "routes.h"
#include "signin.h"

#include <string.h>

static bool has_nonce(const struct exchange *exchange) {
    const char *query = exchange->query;
    return strncmp(query, "nonce=", 6) == 0 || strstr(query, "&nonce=") != NULL;
}

void route_page(struct exchange *exchange) {
    char linked[2];
    if (exchange->user[0] == '\0') {
        signin_ask(exchange, 200, "");
        return;
    }
    if (has_nonce(exchange)) {
        route_account(exchange);
        return;
    }
    bool is_linked = exchange_query(exchange, "linked", linked, sizeof linked) && linked[0] == '1';
    asset_page(exchange, 200, "index.html", "",
               (struct blank[]){{"user", exchange->user},
                                {"status", is_linked ? "The Ring account is connected." : ""},
                                {NULL, NULL}});
}

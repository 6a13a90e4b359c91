#include "delivery.h"

#include "http.h"
#include "ring.h"

#include <stdio.h>
#include <string.h>

#define LIMIT (1 << 20) /* bytes of an answer; a web server's own pages have a few hundred */

/* Advice for each curl exit status (curl(1)) that means no response. */
static const char *advice(int status) {
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {6, "the host name does not resolve: check its spelling and its DNS record"},
        {7, "nothing listens there: check the port, the firewall, and that the web server is running"},
        {28, "Ring does not wait longer. Either a firewall drops the packets, or the server does not answer: "
             "check that the web server and the worker are running"},
        {35, "this port does not speak TLS 1.2 or later, which Ring requires: check the port"},
        {52, "the server closed the connection: check that the port speaks this scheme"},
        {56, "the server closed the connection: see the web server's error log"},
        {60, "the certificate is not trusted. Ring rejects certificates that are self-signed, expired or for "
             "another name: get one from a public CA (certbot). To test with this one anyway, set "
             "CURL_CA_BUNDLE=CERTIFICATE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cases[i].status == status)
            return cases[i].text;
    return "see EXIT CODES in curl(1)";
}

int delivery_send(const char *url, const char *body, size_t length, const char *signature,
                  struct answer *answer, struct reason *reason) {
    char field[256] = "";
    struct reason why = {""};
    struct http_response response;
    if (signature != NULL)
        snprintf(field, sizeof field, RING_SIGNATURE_HEADER ": %s", signature);
    const struct http_request request = {
        .method = "POST",
        .url = url,
        .headers = {"Content-Type: " RING_CONTENT_TYPE, signature != NULL ? field : NULL},
        .body = body,
        .length = length,
        .seconds = RING_ANSWER_SECONDS,
        .limit = LIMIT,
        .plain = true,
    };
    *answer = (struct answer){0};
    int result = http_send(&request, &response, &why);
    if (result == 0) {
        answer->status = response.status;
        answer->seconds = response.seconds;
        answer->length = response.length < sizeof answer->body ? response.length : sizeof answer->body - 1;
        memcpy(answer->body, response.body, answer->length);
    } else if (response.failure > 0)
        explain(reason, "%s: %s", why.text, advice(response.failure));
    else
        explain(reason, "%s", why.text);
    answer->refused = response.refused;
    http_free(&response);
    return result == 0 ? 0 : ERROR_SYSTEM;
}

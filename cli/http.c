/* By libcurl. This file is the only one that knows it. */
#include "http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

static size_t take(char *bytes, size_t size, size_t count, void *context) {
    struct answer *answer = context;
    size_t length = size * count, room = sizeof answer->body - 1 - answer->length;
    size_t taken = length < room ? length : room;
    memcpy(answer->body + answer->length, bytes, taken);
    answer->length += taken;
    answer->body[answer->length] = '\0';
    return length;
}

static struct curl_slist *fields(const char *signature) {
    char field[256];
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
    if (signature != NULL) {
        snprintf(field, sizeof field, "X-Signature: %s", signature);
        list = curl_slist_append(list, field);
    }
    return list;
}

int http_post(const char *url, const char *body, size_t length, const char *signature, struct answer *answer,
              struct reason *reason) {
    char message[CURL_ERROR_SIZE] = "";
    long status = 0;
    static CURL *curl; /* kept, so that a series of deliveries shares a connection */
    *answer = (struct answer){0};
    if (curl == NULL) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        curl = curl_easy_init();
    } else
        curl_easy_reset(curl);
    if (curl == NULL)
        return fail(reason, ERROR_TROUBLE, "libcurl cannot start");
    struct curl_slist *list = fields(signature);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)length);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "doorpost");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)HTTP_PATIENCE);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &answer->seconds);
    curl_slist_free_all(list);
    answer->status = (int)status;
    return code == CURLE_OK ? 0
                            : fail(reason, ERROR_TROUBLE, "no answer from %.100s: %s", url,
                                   message[0] != '\0' ? message : curl_easy_strerror(code));
}

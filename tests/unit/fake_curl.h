/* A program `curl` that is found first on PATH: it keeps what it is given, and answers what the test has
 * prepared. */
#ifndef DOORPOST_TESTS_FAKE_CURL_H
#define DOORPOST_TESTS_FAKE_CURL_H

#include "support.h"

/* Installs it in DIRECTORY/bin. */
void fake_curl(const char *directory);

/* Prepares the answer to the `number`th request from now on (from 1). `fields` is "" or whole lines, each
 * with
 * "\r\n". An answer that was not prepared is none: curl's exit status is 7. */
void fake_answer(int number, int status, const char *fields, const char *body);

/* How many requests there were, and what the `number`th one was: curl's configuration. Good until the next
 * call. */
int fake_count(void);
const char *fake_request(int number);
const char *fake_arguments(int number);

/* Forgets requests and answers. */
void fake_reset(void);

#endif

/* Does one thing that the door page does, with the settings of the environment, and prints what came of it:
 *
 *   driver exchange CODE
 *   driver claim USER NONCE TIME
 *   driver get ACCOUNT PATH
 *   driver refresh ACCOUNT AGE
 *
 * The first line is the result, 0 or a negative number of enum error; then a reason, or the response. */
#include "api.h"
#include "linking.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

static struct config config;
static struct reason reason;

static int get(struct door *door, struct account *account, const char *path) {
    struct http_request request = {.method = "GET"};
    struct http_response response;
    int result = api_send(door, account, path, &request, &response, &reason);
    if (result == 0)
        snprintf(reason.text, sizeof reason.text, "%d %.300s", response.status, response.body);
    http_free(&response);
    return result;
}

static int claim(struct door *door, char *argv[]) {
    struct keys *keys = keys_alloc();
    int result = keys == NULL ? ERROR_SYSTEM : keys_load(keys, config.key_file, &reason);
    if (result == 0)
        result = linking_claim(door, keys, argv[2], argv[3], argv[4], &reason);
    keys_free(keys);
    return result;
}

static int with_account(struct door *door, char *argv[]) {
    struct account *account = account_alloc();
    int result = account == NULL ? ERROR_SYSTEM : account_find(door, argv[2], account, &reason);
    if (result == 0)
        result = FAIL(&reason, ERROR_SYSTEM, "no account %s", argv[2]);
    else if (result == 1 && strcmp(argv[1], "get") == 0)
        result = get(door, account, argv[3]);
    else if (result == 1)
        result = api_refresh(door, account, atoi(argv[3]), &reason);
    account_free(account);
    return result;
}

int main(int argc, char *argv[]) {
    struct door door;
    if (getenv("DRIVER_TRACED") != NULL) { /* by the process that has started this one */
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
    }
    if (argc < 3 || sodium_init() < 0)
        return 2;
    int result = config_read(&config, &reason);
    if (result == 0)
        result = door_open(&door, &config, &reason);
    if (result == 0) {
        if (argc == 3)
            result = api_exchange(&door, argv[2], &reason);
        else
            result = argc == 5 ? claim(&door, argv) : with_account(&door, argv);
        door_close(&door);
    }
    printf("%d\n%s\n", result, reason.text);
    return 0;
}

#include "doors.h"

#include "timestamp.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void make_door(const char *directory, struct config *config, struct door *door) {
    struct reason reason = {""};
    *config = (struct config){.api = API_DEFAULT, .oauth = OAUTH_DEFAULT, .door_hold = -1};
    snprintf(config->door, sizeof config->door, "%s", path_in(directory, "door"));
    snprintf(config->client_file, sizeof config->client_file, "%s", path_in(directory, "client"));
    mkdir(config->door, 0700);
    write_file(config->client_file, "# of the app\nclient-1\n\nsecret&1 \n", 32, 0600);
    fake_curl(directory);
    if (door_open(door, config, &reason) != 0)
        fail_msg("%s", reason.text);
}

struct account *make_account(const struct door *door, const char *id, int64_t age, int64_t life) {
    struct account *account = account_alloc();
    struct reason reason = {""};
    int64_t now = timestamp_now();
    assert_non_null(account);
    snprintf(account->id, sizeof account->id, "%s", id);
    door_hash(door, DOOR_ACCOUNT, id, strlen(id), account->name);
    snprintf(account->access, sizeof account->access, "access-1");
    snprintf(account->refresh, sizeof account->refresh, "refresh-1");
    account->refreshed_at = now - age * SECOND;
    account->expires_at = now + life * SECOND;
    if (account_save(door, account, &reason) != 0)
        fail_msg("%s", reason.text);
    return account;
}

const char *tokens(int n) {
    static char text[256];
    snprintf(text, sizeof text,
             "{\"access_token\":\"access-%d\",\"refresh_token\":\"refresh-%d\",\"scope\":\"s\",\"expires_"
             "in\":14400,"
             "\"token_type\":\"Bearer\"}",
             n, n);
    return text;
}

#include "sample.h"

#include "quote.h"
#include "timestamp.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define UUID_SIZE 37

static const char types[] =
    "button_press motion_detected device_added device_removed device_online device_offline "
    "app_integration_added app_integration_removed subscription_activated subscription_deactivated "
    "contact_sensor_faulted contact_sensor_cleared tamper_detected tamper_cleared flood_detected "
    "flood_cleared "
    "freeze_detected freeze_cleared temperature_exceeded temperature_cleared humidity_exceeded "
    "humidity_cleared "
    "pm25_exceeded pm25_cleared co_detected co_cleared";

const char *sample_types(void) {
    return types;
}

bool sample_knows(const char *type) {
    size_t length = strlen(type);
    for (const char *at = types; (at = strstr(at, type)) != NULL; at += length)
        if (length > 0 && (at == types || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

/* RFC 9562, version 4. */
static void make_uuid(char out[UUID_SIZE]) {
    unsigned char b[16];
    randombytes_buf(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* The member "attributes", and what stands behind it. */
static void write_data(const char *type, const char *device, const char *account, int64_t milliseconds,
                       char *out, size_t size) {
    char at[TIMESTAMP_SIZE];
    if (strncmp(type, "app_integration_", 16) == 0) {
        snprintf(out, size,
                 "\"attributes\":{\"source\":%s,\"source_type\":\"users\",\"timestamp\":%" PRId64 "}",
                 account, milliseconds);
    } else if (strncmp(type, "subscription_", 13) == 0) {
        bool activated = strcmp(type, "subscription_activated") == 0;
        timestamp_format((milliseconds + INT64_C(30) * 86400 * 1000) * 1000, at);
        snprintf(out, size,
                 "\"attributes\":{\"source\":\"subscriptions\",\"source_id\":\"subscription-1\",\"sub_type\":"
                 "\"paid\","
                 "\"plan_id\":\"plan-1\"%s%s%s},\"relationships\":{\"devices\":{\"data\":[{\"type\":"
                 "\"device\",\"id\":%s}]}}",
                 activated ? ",\"expires_at\":\"" : "", activated ? at : "", activated ? "\"" : "", device);
    } else {
        bool motion = strcmp(type, "motion_detected") == 0;
        snprintf(out, size,
                 "%s\"attributes\":{\"source\":%s,\"source_type\":\"devices\",\"timestamp\":%" PRId64
                 "},\"relationships\":{\"devices\":{\"links\":{\"self\":\"/v1/devices/%.*s\"}}}",
                 motion ? "\"subType\":\"human\"," : "", device, milliseconds, (int)strlen(device) - 2,
                 device + 1);
    }
}

size_t sample_write(const char *type, const char *device, const char *account, int64_t at,
                    char out[SAMPLE_SIZE]) {
    char time[TIMESTAMP_SIZE], request[UUID_SIZE], id[UUID_SIZE], data[SAMPLE_SIZE];
    char quoted_device[QUOTE_SIZE(256)], quoted_account[QUOTE_SIZE(256)];
    timestamp_format(at, time);
    make_uuid(request);
    make_uuid(id);
    quote(quoted_device, sizeof quoted_device, device, strlen(device));
    quote(quoted_account, sizeof quoted_account, account, strlen(account));
    write_data(type, quoted_device, quoted_account, at / 1000, data, sizeof data);
    int length =
        snprintf(out, SAMPLE_SIZE,
                 "{\"meta\":{\"version\":\"1.1\",\"time\":\"%s\",\"request_id\":\"%s\",\"account_id\":%s},"
                 "\"data\":{\"id\":\"%s_%s\",\"type\":\"%s\",%s}}",
                 time, request, quoted_account, type, id, type, data);
    return (size_t)length;
}

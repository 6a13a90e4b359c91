/* Ring, the sender: what its deliveries look like, and what it expects back. All knowledge of Ring is here
 * and in ring.c, so a receiver for another sender starts with these two files. Not here: how a signature
 * is computed (signature.c), and help, manuals and messages that mention these facts.
 *
 * Ring documents them on https://developer.amazon.com/docs/ring/PAGE.html; PAGE is in brackets below.
 * [field] marks what integrators report and Ring does not document. */
#ifndef DOORPOST_RING_H
#define DOORPOST_RING_H

#include <stdbool.h>
#include <stdint.h>

/* ---- a delivery: a POST with JSON and a signature over its bytes [notifications] ---- */

#define RING_CONTENT_TYPE "application/json"

/* The header with the HMAC-SHA256 of the body, and the variable in which a gateway passes it (RFC 3875,
 * section 4.1.18). */
#define RING_SIGNATURE_HEADER "X-Signature"
#define RING_SIGNATURE_VARIABLE "HTTP_X_SIGNATURE"

/* Precedes the 64 hexadecimal digits. Optional: Ring's own sample accepts bare digits. */
#define RING_SIGNATURE_PREFIX "sha256="

/* The length of a signing key, which is issued in base64. Some integrators sign with the decoded bytes,
 * others with the text [field]. */
#define RING_KEY_BYTES 32

/* ---- the payload, version 1.1 [notifications, button-press] ---- */

/* The objects that contain the fields below. */
enum ring_object { RING_META, RING_DATA, RING_ATTRIBUTES, RING_OBJECTS };
#define RING_META_NAME "meta"
#define RING_DATA_NAME "data"
#define RING_ATTRIBUTES_NAME "attributes" /* in "data" */

/* The fields we read. */
enum ring_field {
    RING_VERSION,
    RING_TIME,       /* when Ring sent it, in ISO 8601 */
    RING_REQUEST_ID, /* identifies the delivery: the same in every retry */
    RING_ACCOUNT,    /* the Ring user the event belongs to */
    RING_ID,         /* identifies the event; opaque */
    RING_TYPE,       /* of the event */
    RING_SOURCE,     /* the device, if RING_SOURCE_TYPE is RING_FROM_DEVICE */
    RING_SOURCE_TYPE,
    RING_TIMESTAMP,    /* when it happened, in milliseconds since 1970 */
    RING_SUB_TYPE,     /* of motion and subscriptions [field: of motion since September 2026] */
    RING_SUB_TYPE_OLD, /* of motion until then [motion-detection] */
    RING_FIELDS
};

/* The payload member of each field. Arrays rather than pointers: nothing to relocate when a CGI process
 * starts. */
struct ring_member {
    enum ring_object in;
    char name[15];
    char path[28]; /* for messages */
};
extern const struct ring_member ring_members[RING_FIELDS];

/* The two that identify an event; event_identifiers() reads them too. */
#define RING_REQUEST_ID_NAME "request_id"
#define RING_ID_NAME "id"

/* The longest text that is read, in bytes. Ring's identifiers have about 100 [field]. */
#define RING_TEXT_LIMIT 512

/* The only version of the payload that promises RING_ACCOUNT. */
#define RING_VERSION_WITH_ACCOUNT "1.1"

#define RING_FROM_DEVICE "devices"

/* The names of all documented members, in the order in which Ring writes them. */
#define RING_NAMES 24
extern const char ring_names[RING_NAMES][19];

/* ---- the types of events [notifications, and a page for each kind] ---- */

#define RING_PRESS "button_press"

/* The account's owner has removed the app: its tokens are dead [app-integrations]. */
#define RING_REMOVED "app_integration_removed"

/* The documented types, then those of sensors, which are in early access [field]. Ring adds types without
 * notice. */
#define RING_TYPES                                                                                 \
    RING_PRESS                                                                                     \
    " motion_detected device_added device_removed device_online device_offline "                   \
    "app_integration_added " RING_REMOVED " subscription_activated subscription_deactivated "      \
    "contact_sensor_faulted contact_sensor_cleared tamper_detected tamper_cleared flood_detected " \
    "flood_cleared "                                                                               \
    "freeze_detected freeze_cleared temperature_exceeded temperature_cleared humidity_exceeded "   \
    "humidity_cleared "                                                                            \
    "pm25_exceeded pm25_cleared co_detected co_cleared"

/* Required fields, as bits 1 << RING_...: of all types, and in addition of one type. */
#define RING_ALWAYS_REQUIRED (1U << RING_REQUEST_ID | 1U << RING_ID | 1U << RING_TYPE)
unsigned ring_required(const char *type);

/* A sample payload of that type, for testing a receiver. <time>, <request_id>, <account_id>, <id>, <type>,
 * <device_id>, <timestamp> (in milliseconds) and <later> (a time) are placeholders; ' stands for ". */
const char *ring_sample(const char *type);

/* What identifiers look like [field]. */
#define RING_SAMPLE_DEVICE "ava1.ring.device.EXAMPLE"
#define RING_SAMPLE_ACCOUNT "ava1.ring.account.EXAMPLE"

/* ---- the answer [notifications] ---- */

/* A delivery counts as failed after this time without an answer. */
#define RING_ANSWER_SECONDS 5

/* 2xx means delivered; 4xx means never deliver. After 5xx or no answer, the delivery is retried. 3xx is
 * undocumented and treated as final. */
bool ring_is_final(int status);

/* The number of retries, and the seconds before each, counted from the previous attempt. Failed commands
 * are retried on the same schedule. */
#define RING_RETRIES 6
#define RING_RETRY_TEXT "1 s, 5 s, 30 s, 2 min, 10 min, 1 h"
extern const int ring_retry_after[RING_RETRIES];

/* How late a delivery can arrive after its event: after the first hour's attempts, it can be replayed on
 * request for another 72 h. With a shorter DOORPOST_MAX_AGE, events are lost. With one longer than the
 * retention of prune, a delivery that is replayed after its day was deleted is stored as new; so prune
 * must keep at least this much. */
#define RING_LATEST_HOURS 73
#define RING_LATEST_SECONDS (INT64_C(3600) * RING_LATEST_HOURS)
#define RING_LATEST_DAYS ((RING_LATEST_HOURS + 23) / 24) /* whole days that cover it */

#endif

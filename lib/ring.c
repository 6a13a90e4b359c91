#include "ring.h"

#include <stddef.h>
#include <string.h>

#define META(name) \
    { RING_META, name, RING_META_NAME "." name }
#define DATA(name) \
    { RING_DATA, name, RING_DATA_NAME "." name }
#define ATTRIBUTES(name) \
    { RING_ATTRIBUTES, name, RING_DATA_NAME "." RING_ATTRIBUTES_NAME "." name }

const struct ring_member ring_members[RING_FIELDS] = {[RING_VERSION] = META("version"),
                                                      [RING_TIME] = META("time"),
                                                      [RING_REQUEST_ID] = META(RING_REQUEST_ID_NAME),
                                                      [RING_ACCOUNT] = META("account_id"),
                                                      [RING_ID] = DATA(RING_ID_NAME),
                                                      [RING_TYPE] = DATA("type"),
                                                      [RING_SOURCE] = ATTRIBUTES("source"),
                                                      [RING_SOURCE_TYPE] = ATTRIBUTES("source_type"),
                                                      [RING_TIMESTAMP] = ATTRIBUTES("timestamp"),
                                                      [RING_SUB_TYPE] = ATTRIBUTES("sub_type"),
                                                      [RING_SUB_TYPE_OLD] = DATA("subType")};

const char ring_names[RING_NAMES][19] = {RING_META_NAME,
                                         RING_DATA_NAME,
                                         "version",
                                         "time",
                                         RING_REQUEST_ID_NAME,
                                         "account_id",
                                         RING_ID_NAME,
                                         "type",
                                         RING_ATTRIBUTES_NAME,
                                         "source",
                                         "source_type",
                                         "source_id",
                                         "subType",
                                         "sub_type",
                                         "plan_id",
                                         "expires_at",
                                         "component_ids",
                                         "timestamp",
                                         "timestamp_readable",
                                         "relationships",
                                         "devices",
                                         "subscriptions",
                                         "links",
                                         "self"};

static const struct {
    char type[sizeof RING_PRESS];
    unsigned required;
} requirements[] = {
    {RING_PRESS, 1U << RING_ACCOUNT | 1U << RING_SOURCE | 1U << RING_SOURCE_TYPE | 1U << RING_TIMESTAMP},
};

unsigned ring_required(const char *type) {
    for (size_t i = 0; i < sizeof requirements / sizeof *requirements; i++)
        if (strcmp(type, requirements[i].type) == 0)
            return requirements[i].required;
    return 0;
}

#define PAYLOAD(data)                                                                                    \
    "{'meta':{'version':'1.1','time':'<time>','request_id':'<request_id>','account_id':'<account_id>'}," \
    "'data':{'id':'<type>_<id>','type':'<type>'," data "}}"
#define OF_DEVICE                                                                            \
    "'attributes':{'source':'<device_id>','source_type':'devices','timestamp':<timestamp>}," \
    "'relationships':{'devices':{'links':{'self':'/v1/devices/<device_id>'}}}"
#define OF_ACCOUNT "'attributes':{'source':'<account_id>','source_type':'users','timestamp':<timestamp>}"
#define OF_SUBSCRIPTION(expiry)                                            \
    "'attributes':{'source':'subscriptions','source_id':'subscription-1'," \
    "'sub_type':'paid','plan_id':'plan-1'" expiry "},"                     \
    "'relationships':{'devices':{'data':[{'type':'device','id':'<device_id>'}]}}"

const char *ring_sample(const char *type) {
    if (strcmp(type, "motion_detected") == 0)
        return PAYLOAD("'subType':'human'," OF_DEVICE);
    if (strcmp(type, "app_integration_added") == 0 || strcmp(type, "app_integration_removed") == 0)
        return PAYLOAD(OF_ACCOUNT);
    if (strcmp(type, "subscription_activated") == 0)
        return PAYLOAD(OF_SUBSCRIPTION(",'expires_at':'<later>'"));
    if (strcmp(type, "subscription_deactivated") == 0)
        return PAYLOAD(OF_SUBSCRIPTION(""));
    return PAYLOAD(OF_DEVICE);
}

bool ring_is_final(int status) {
    return status >= 200 && status < 500;
}

const int ring_retry_after[RING_RETRIES] = {1, 5, 30, 120, 600, 3600};

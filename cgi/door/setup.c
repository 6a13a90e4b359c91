#include "setup.h"

#include "feed.h"
#include "log.h"
#include "pictures.h"
#include "pool.h"
#include "privilege.h"

static void *follow_journal(void *context) {
    struct page *page = context;
    feed_follow(page->feed, &page->ending);
    return NULL;
}

static void *follow_pictures(void *context) {
    pictures_follow(context);
    return NULL;
}

static int start(struct page *page, struct reason *reason) {
    page->feed = feed_new(page->config.journal);
    if (page->feed == NULL)
        return FAIL(reason, ERROR_SYSTEM, "out of memory");
    if (page->lasting && (!pool_start(follow_journal, page) || !pool_start(follow_pictures, page)))
        log_warning(page->config.log, "a thread could not be started: new presses or pictures come late");
    return 0;
}

static int prepare(struct page *page, struct reason *reason) {
    int result = privilege_trust_settings(reason);
    if (result == 0)
        result = config_load(&page->config, reason);
    if (result == 0 && page->config.door[0] == '\0')
        result = FAIL(reason, ERROR_SYSTEM,
                      "DOORPOST_DOOR is not set: let it name the private directory of the door page%s%s",
                      page->config.warning.text[0] != '\0' ? "; " : "", page->config.warning.text);
    if (result == 0)
        result = privilege_drop_for_door(&page->config, reason);
    if (result == 0)
        result = door_open(&page->door, &page->config, reason);
    if (result == 0)
        result = start(page, reason);
    if (result == 0 && page->config.warning.text[0] != '\0')
        log_warning(page->config.log, page->config.warning.text);
    return result;
}

int setup(struct page *page, struct reason *reason) {
    if (page->ready)
        return 0;
    pthread_mutex_lock(&page->mutex);
    int result = page->ready ? 0 : prepare(page, reason);
    if (result == 0)
        page->ready = true;
    pthread_mutex_unlock(&page->mutex);
    return result;
}

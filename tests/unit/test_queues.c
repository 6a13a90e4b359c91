/* Deferred events: one queue a device, the earliest first, and every change of a slot is reported. */
#include "support.h"

#include "queues.h"

#include <string.h>

#define NOON (INT64_C(1771070400) * SECOND)

static int set_up(void **state) {
    *state = queues_new();
    return *state == NULL || !queues_reserve(*state, 1);
}

static int tear_down(void **state) {
    queues_free(*state);
    return 0;
}

static struct item item_of(uint64_t seq, uint64_t order, int64_t due) {
    return (struct item){.seq = seq, .identity = seq * 7, .order = order, .attempts = 6, .due = due};
}

static void add(struct queues *queues, uint64_t seq, uint64_t order, int64_t due) {
    struct item item = item_of(seq, order, due);
    assert_true(queues_reserve(queues, 1));
    queues_add(queues, &item, NOON);
}

static uint64_t next(struct queues *queues, int64_t now) {
    const struct item *item = queues_next(queues, now);
    return item != NULL ? item->seq : 0;
}

static struct item *find(struct queues *queues, uint64_t seq, uint64_t order) {
    struct item item = item_of(seq, order, 0);
    return queues_find(queues, &item);
}

static void empty_queues_have_no_events(void **state) {
    struct queues *queues = queues_new();
    size_t slot;
    (void)state;
    assert_non_null(queues);
    assert_int_equal(queues_count(queues), 0);
    assert_int_equal(queues_size(queues), 0);
    assert_int_equal(queues_wait(queues, NOON), -1);
    assert_null(queues_next(queues, NOON));
    assert_null(queues_take(queues, 1));
    assert_null(find(queues, 1, 1));
    assert_false(queues_have(queues, 1));
    assert_false(queues_take_changed(queues, &slot));
    queues_free(queues);
}

static void the_earliest_runs_first_and_only_when_due(void **state) {
    struct queues *queues = *state;
    static const int64_t dues[] = {50, 10, 40, 20, 30, 0, 60};
    for (uint64_t i = 0; i < 7; i++)
        add(queues, i + 1, i, NOON + dues[i] * SECOND);
    assert_int_equal(next(queues, NOON), 6);
    assert_int_equal(queues_wait(queues, NOON), 10 * SECOND);
    assert_int_equal(next(queues, NOON + 10 * SECOND - 1), 0);
    assert_int_equal(next(queues, NOON + 10 * SECOND), 2);
    static const uint64_t rest[] = {4, 5, 3, 1, 7};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(next(queues, NOON + 60 * SECOND), rest[i]);
    assert_int_equal(queues_wait(queues, NOON), -1); /* all are running */
    assert_int_equal(queues_count(queues), 7);
}

static void the_next_of_a_device_waits_for_the_one_before(void **state) {
    struct queues *queues = *state;
    add(queues, 1, 5, NOON + 10 * SECOND);
    add(queues, 2, 5, NOON); /* it is due, but not its turn */
    add(queues, 3, 5, NOON);
    assert_int_equal(next(queues, NOON), 0);
    assert_int_equal(next(queues, NOON + 10 * SECOND), 1);
    assert_int_equal(next(queues, NOON + 10 * SECOND), 0);
    struct item *first = find(queues, 1, 5);
    first->due = NOON + 20 * SECOND;
    queues_put_back(queues, first);
    assert_int_equal(next(queues, NOON + 10 * SECOND), 0);
    assert_int_equal(next(queues, NOON + 20 * SECOND), 1);
    assert_int_equal(find(queues, 1, 5)->attempts, 8);
    queues_remove(queues, find(queues, 1, 5));
    assert_int_equal(next(queues, NOON + 20 * SECOND), 2);
    queues_remove(queues, find(queues, 2, 5));
    assert_int_equal(next(queues, NOON + 20 * SECOND), 3);
    queues_remove(queues, find(queues, 3, 5));
    assert_false(queues_have(queues, 5));
    assert_int_equal(queues_count(queues), 0);
}

static void an_event_is_found_anywhere_in_its_queue(void **state) {
    struct queues *queues = *state;
    for (uint64_t seq = 2; seq <= 8; seq += 2)
        add(queues, seq, 5, NOON);
    for (uint64_t seq = 1; seq <= 9; seq++) {
        const struct item *found = find(queues, seq, 5);
        assert_int_equal(found != NULL ? found->seq : 0, seq % 2 == 0 ? seq : 0);
        assert_null(find(queues, seq, 6));
    }
    struct item other = item_of(4, 5, 0);
    other.identity++; /* another event has the number now */
    assert_null(queues_find(queues, &other));
}

static void a_waiting_event_can_be_taken_before_it_is_due(void **state) {
    struct queues *queues = *state;
    for (uint64_t seq = 1; seq <= 4; seq++)
        add(queues, seq, seq % 3, NOON + (int64_t)seq * SECOND);
    assert_null(queues_take(queues, 9));
    assert_null(queues_take(queues, 4)); /* number 1 is before it */
    struct item *item = queues_take(queues, 3);
    assert_int_equal(item->seq, 3);
    queues_remove(queues, item);
    item = queues_take(queues, 1);
    queues_remove(queues, item);
    assert_int_equal(next(queues, NOON + 4 * SECOND), 2);
    assert_int_equal(next(queues, NOON + 4 * SECOND), 4);
    assert_null(queues_take(queues, 2)); /* it is running */
}

static void each_slot_that_changed_is_reported_once(void **state) {
    struct queues *queues = *state;
    size_t slot, first;
    add(queues, 1, 1, NOON);
    assert_true(queues_take_changed(queues, &first));
    assert_int_equal(queues_at(queues, first)->seq, 1);
    assert_false(queues_are_changed(queues));
    assert_false(queues_take_changed(queues, &slot));
    struct item *item = queues_next(queues, NOON);
    assert_false(queues_are_changed(queues)); /* a running attempt is not saved */
    queues_put_back(queues, item);
    queues_remove(queues, queues_next(queues, NOON));
    assert_true(queues_take_changed(queues, &slot));
    assert_int_equal(slot, first);
    assert_null(queues_at(queues, slot));
    assert_false(queues_take_changed(queues, &slot));
    add(queues, 2, 2, NOON); /* gets the free slot */
    assert_true(queues_take_changed(queues, &slot));
    assert_int_equal(slot, first);
}

static void all_can_be_forgotten(void **state) {
    struct queues *queues = *state;
    add(queues, 1, 1, NOON);
    queues_clear(queues);
    assert_int_equal(queues_count(queues), 0);
    assert_false(queues_have(queues, 1));
    add(queues, 2, 1, NOON);
    assert_int_equal(next(queues, NOON), 2);
}

/* ---- random operations, compared with the simplest correct model ---- */

#define MOST 3000
#define ORDERS 97 /* makes long queues, and orders that share buckets */

static struct {
    uint64_t order;
    int64_t due;
    bool here, running;
} model[MOST + 1];

static uint32_t seed;

static uint32_t dice(uint32_t sides) {
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)(seed >> 8) * sides >> 24);
}

static bool is_first(uint64_t seq) {
    for (uint64_t i = 1; i < seq; i++)
        if (model[i].here && model[i].order == model[seq].order)
            return false;
    return model[seq].here;
}

/* The due time of the earliest event that could run; -1: none. */
static int64_t earliest(void) {
    int64_t due = -1;
    for (uint64_t i = 1; i <= MOST; i++)
        if (model[i].here && !model[i].running && (due < 0 || model[i].due < due) && is_first(i))
            due = model[i].due;
    return due;
}

static void check_slots(struct queues *queues) {
    size_t here = 0, used = 0;
    for (uint64_t i = 1; i <= MOST; i++)
        here += model[i].here;
    for (size_t slot = 0; slot < queues_size(queues); slot++) {
        const struct item *item = queues_at(queues, slot);
        used += item != NULL;
        assert_true(item == NULL || model[item->seq].here);
    }
    assert_int_equal(used, here);
    assert_int_equal(queues_count(queues), here);
}

static void after_any_operations_the_earliest_queue_head_is_next(void **state) {
    struct queues *queues = *state;
    int64_t now = NOON;
    uint64_t last = 0;
    seed = 1;
    memset(model, 0, sizeof model);
    for (unsigned turn = 0; turn < 9000; turn++) {
        uint64_t any = last > 0 ? 1 + dice((uint32_t)last) : 1;
        struct item *item = model[any].here ? find(queues, any, model[any].order) : NULL;
        switch (dice(model[any].here ? 5 : 3)) {
        case 0:
        case 1:
            if (last == MOST)
                break;
            last++;
            model[last].order = dice(4) > 0 ? last * 4096 : dice(ORDERS);
            model[last].here = true;
            model[last].due = now + dice(600) * SECOND;
            add(queues, last, model[last].order, model[last].due);
            break;
        case 2:
            now += dice(2) * SECOND;
            if ((item = queues_next(queues, now)) == NULL)
                break;
            assert_true(is_first(item->seq) && !model[item->seq].running && model[item->seq].due <= now);
            assert_int_equal(model[item->seq].due, turn % 16 == 0 ? earliest() : model[item->seq].due);
            model[item->seq].running = true;
            break;
        case 3:
            if (!model[any].running)
                break;
            model[any].running = false;
            item->due = model[any].due = now + dice(600) * SECOND;
            queues_put_back(queues, item);
            break;
        case 4:
            if (!model[any].running && (item = queues_take(queues, any)) == NULL) {
                assert_false(is_first(any));
                break;
            }
            queues_remove(queues, item);
            model[any].here = model[any].running = false;
            break;
        }
        if (turn % 64 == 0) {
            int64_t due = earliest();
            assert_int_equal(queues_wait(queues, now), due < 0 ? -1 : due > now ? due - now : 0);
        }
        if (turn % 1024 == 0)
            check_slots(queues);
    }
    check_slots(queues);
    assert_true(queues_size(queues) > 1024); /* it has grown */
}

#define QUEUES_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_queues_have_no_events),
        QUEUES_TEST(the_earliest_runs_first_and_only_when_due),
        QUEUES_TEST(the_next_of_a_device_waits_for_the_one_before),
        QUEUES_TEST(an_event_is_found_anywhere_in_its_queue),
        QUEUES_TEST(a_waiting_event_can_be_taken_before_it_is_due),
        QUEUES_TEST(each_slot_that_changed_is_reported_once),
        QUEUES_TEST(all_can_be_forgotten),
        QUEUES_TEST(after_any_operations_the_earliest_queue_head_is_next),
    };
    return cmocka_run_group_tests_name("queues", tests, NULL, NULL);
}

/* doorpost stats: totals over the journal, or over the merged stream. Counts are kept in json-c objects: hash
 * tables that preserve insertion order, and that --json prints as they are. */
#include "api.h"
#include "counters.h"
#include "forward_status.h"
#include "lines.h"
#include "quote.h"
#include "settings.h"
#include "terminal.h"
#include "verbs.h"

#include "rejected.h"

#include <json-c/json.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES_SHOWN 20
#define PROGRESS_EVERY 1024 /* lines */

/* Delays in milliseconds, in buckets one percent wide: memory use is constant, and a quantile is off by at
 * most half a percent. */
#define DELAY_BUCKETS 3000
#define DELAY_STEP 1.01

struct totals {
    uint64_t events, presses, delays;
    int64_t last_received;
    uint64_t hour[24];
    uint64_t delay[DELAY_BUCKETS];
    struct counters counters;
    struct json_object *day, *type, *device, *rejected;
    uint64_t rejections;
};

struct options {
    struct settings settings;
    struct filter filter;
    bool json, prometheus;
};

static int count_one(struct json_object *counts, const char *name) {
    return counters_count(counts, name, INT_MAX) ? 0 : -1;
}

static void count_delay(struct totals *totals, double seconds) {
    double delay = seconds * 1000;
    int bucket = delay < 1 ? 0 : (int)(log(delay) / log(DELAY_STEP)) + 1;
    totals->delay[bucket < DELAY_BUCKETS ? bucket : DELAY_BUCKETS - 1]++;
    totals->delays++;
}

/* The delay in seconds that the given share of deliveries did not exceed. */
static double quantile(const struct totals *totals, double share) {
    uint64_t wanted = (uint64_t)ceil(share * (double)totals->delays), sum = 0;
    int bucket = 0;
    while (bucket < DELAY_BUCKETS - 1 && (sum += totals->delay[bucket]) < wanted)
        bucket++;
    return bucket == 0 ? 0 : pow(DELAY_STEP, bucket - 0.5) / 1000;
}

static int count_event(struct totals *totals, const struct lines *lines, bool utc) {
    const struct event *event = &lines->event;
    char day[WHEN_SIZE];
    double delay;
    if (strcmp(event->device, EVENT_TEST_DEVICE) == 0)
        return 0;
    totals->events++;
    if (totals->last_received < lines->received_at)
        totals->last_received = lines->received_at;
    int result = count_one(totals->type, event->type);
    if (counters_delay(lines, &delay))
        count_delay(totals, delay);
    if (strcmp(event->type, RING_PRESS) != 0 || result != 0)
        return result;
    /* An impossible timestamp is ignored. */
    int64_t pressed = event->timestamp > 0 && event->timestamp < TIMESTAMP_END ? event->timestamp * 1000
                                                                               : lines->received_at;
    totals->presses++;
    when_format(pressed, utc, day); /* the day is characters 0 to 9, the hour 11 and 12 */
    totals->hour[((day[11] - '0') * 10 + (day[12] - '0')) % 24]++;
    day[10] = '\0';
    result = count_one(totals->day, day);
    return result == 0 ? count_one(totals->device, event->device) : result;
}

static int count_events(struct totals *totals, struct lines *lines, const struct options *options) {
    struct progress progress;
    struct position from;
    int result = 0;
    if (lines->empty)
        return STATUS_DONE;
    if (lines_since(lines, &options->filter, &from) != STATUS_DONE)
        return STATUS_PROBLEM;
    lines_start(lines, from);
    progress_start(&progress, "counting", lines_length(lines, from));
    for (uint64_t read = 1; (result = lines_next(lines, &options->filter)) > 0; read++) {
        if (count_event(totals, lines, options->filter.utc) != 0 ||
            (options->prometheus && !counters_add(&totals->counters, lines))) {
            result = -1;
            problem("out of memory for the counts");
            break;
        }
        if (read % PROGRESS_EVERY == 0)
            progress_show(&progress, lines->done);
    }
    progress_end(&progress);
    return result == 0 ? STATUS_DONE : STATUS_PROBLEM;
}

static int count_rejection(void *context, const struct rejection *rejection) {
    struct totals *totals = context;
    totals->rejections++;
    return counters_add_rejection(&totals->counters, rejection)
               ? count_one(totals->rejected, rejection->reason)
               : -1;
}

static void print_bar(const char *name, uint64_t count, uint64_t most, int width) {
    int length = most == 0 ? 0 : (int)((count * (uint64_t)width + most - 1) / most);
    char bar[512];
    if (length > (int)sizeof bar - 1)
        length = sizeof bar - 1;
    memset(bar, '#', (size_t)length);
    bar[length] = '\0';
    printf("  %-28s %8llu  %s%s%s\n", name, (unsigned long long)count, colour(COLOUR_NAME), bar,
           colour(COLOUR_NONE));
}

struct named {
    const char *name;
    uint64_t count;
};

static int by_count(const void *a, const void *b) {
    const struct named *one = a, *other = b;
    return one->count != other->count ? (one->count < other->count ? 1 : -1) : strcmp(one->name, other->name);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Prints the members of `counts` in the given order, at most `most_shown`. */
static void print_counts(const char *title, struct json_object *counts,
                         int (*order)(const void *, const void *), size_t most_shown) {
    size_t length = (size_t)json_object_object_length(counts), used = 0;
    struct named *named = calloc(length + 1, sizeof *named);
    uint64_t most = 0;
    char quoted[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    if (named == NULL)
        return;
    json_object_object_foreach(counts, name, count) {
        named[used] = (struct named){.name = name, .count = (uint64_t)json_object_get_int64(count)};
        most = named[used].count > most ? named[used].count : most;
        used++;
    }
    qsort(named, used, sizeof *named, order);
    printf("\n%s\n", title);
    for (size_t i = 0; i < used && i < most_shown; i++)
        print_bar(plain(named[i].name, quoted, sizeof quoted), named[i].count, most, terminal_width() - 42);
    if (used > most_shown)
        printf("  and %zu more (--json has them all)\n", used - most_shown);
    free(named);
}

static void show_totals(struct totals *totals) {
    printf("%llu events, %llu of them presses", (unsigned long long)totals->events,
           (unsigned long long)totals->presses);
    if (totals->rejected != NULL)
        printf("; %llu signed but unusable", (unsigned long long)totals->rejections);
    putchar('\n');
    if (totals->delays > 0)
        printf("received after: median %.3g s, 99th percentile %.3g s\n", quantile(totals, 0.5),
               quantile(totals, 0.99));
    if (totals->presses > 0) {
        uint64_t most = 0;
        print_counts("presses by day", totals->day, by_name, SIZE_MAX);
        printf("\npresses by hour of the day\n");
        for (int hour = 0; hour < 24; hour++)
            most = totals->hour[hour] > most ? totals->hour[hour] : most;
        for (int hour = 0; hour < 24; hour++) {
            const char name[] = {(char)('0' + hour / 10), (char)('0' + hour % 10), '\0'};
            print_bar(name, totals->hour[hour], most, terminal_width() - 42);
        }
        print_counts("presses by device", totals->device, by_count, DEVICES_SHOWN);
    }
    if (totals->events > totals->presses)
        print_counts("events by type", totals->type, by_count, SIZE_MAX);
    if (totals->rejections > 0)
        print_counts("signed but unusable, by reason", totals->rejected, by_count, SIZE_MAX);
}

static int report_totals(struct totals *totals) {
    struct json_object *all = json_object_new_object();
    struct json_object *hours = json_object_new_array();
    struct json_object *delay = json_object_new_object();
    if (all == NULL || hours == NULL || delay == NULL)
        return problem("out of memory");
    for (int hour = 0; hour < 24; hour++)
        json_object_array_add(hours, json_object_new_int64((int64_t)totals->hour[hour]));
    if (totals->delays > 0) {
        json_object_object_add(delay, "median", json_object_new_double(quantile(totals, 0.5)));
        json_object_object_add(delay, "p99", json_object_new_double(quantile(totals, 0.99)));
    }
    json_object_object_add(all, "events", json_object_new_int64((int64_t)totals->events));
    json_object_object_add(all, "presses", json_object_new_int64((int64_t)totals->presses));
    if (totals->rejected != NULL)
        json_object_object_add(all, "rejected", json_object_new_int64((int64_t)totals->rejections));
    json_object_object_add(all, "delay_seconds", delay);
    json_object_object_add(all, "presses_by_day", json_object_get(totals->day));
    json_object_object_add(all, "presses_by_hour", hours);
    json_object_object_add(all, "presses_by_device", json_object_get(totals->device));
    json_object_object_add(all, "events_by_type", json_object_get(totals->type));
    if (totals->rejected != NULL)
        json_object_object_add(all, "rejected_by_reason", json_object_get(totals->rejected));
    int status = print_json(all);
    json_object_put(all);
    return status;
}

/* A metric with one label, in the Prometheus text format, whose label values need three escapes. */
static void print_metric(const char *name, const char *label, struct json_object *counts) {
    json_object_object_foreach(counts, value, count) {
        printf("%s{%s=\"", name, label);
        for (const char *at = value; *at != '\0'; at++) {
            size_t plain_length = strcspn(at, "\\\"\n");
            print_text(at, plain_length);
            at += plain_length;
            if (*at == '\0')
                break;
            putchar('\\');
            putchar(*at == '\n' ? 'n' : *at);
        }
        printf("\"} %lld\n", (long long)json_object_get_int64(count));
    }
}

static int print_prometheus(struct totals *totals, struct lines *lines) {
    bool journal = lines->stream == NULL;
    uint64_t bytes;
    if (lines_size(lines, &bytes) != STATUS_DONE)
        return STATUS_PROBLEM;
    printf("# HELP doorpost_events_total Events, by type%s.\n# TYPE doorpost_events_total counter\n",
           journal ? ", including those deleted by prune" : "");
    print_metric("doorpost_events_total", "type", totals->counters.types);
    if (journal) {
        puts("# HELP doorpost_rejected_total Deliveries that were signed but unusable, by reason.\n"
             "# TYPE doorpost_rejected_total counter");
        print_metric("doorpost_rejected_total", "reason", totals->counters.reasons);
    }
    puts("# HELP doorpost_delivery_delay_seconds Time from the event to its receipt.\n"
         "# TYPE doorpost_delivery_delay_seconds summary");
    if (totals->delays > 0)
        printf("doorpost_delivery_delay_seconds{quantile=\"0.5\"} %.6g\n"
               "doorpost_delivery_delay_seconds{quantile=\"0.99\"} %.6g\n",
               quantile(totals, 0.5), quantile(totals, 0.99));
    printf("doorpost_delivery_delay_seconds_sum %.6g\ndoorpost_delivery_delay_seconds_count %llu\n",
           totals->counters.delay_sum, (unsigned long long)totals->counters.delays);
    printf("# HELP doorpost_last_event_timestamp_seconds When the newest event was received.\n"
           "# TYPE doorpost_last_event_timestamp_seconds gauge\ndoorpost_last_event_timestamp_seconds %.6f\n",
           (double)totals->last_received / (double)SECOND);
    const char *what = journal ? "journal" : "stream";
    printf("# HELP doorpost_%s_bytes Size of the %s.\n# TYPE doorpost_%s_bytes gauge\n"
           "doorpost_%s_bytes %llu\n",
           what, journal ? "journal" : "table of events and its indexes", what, what,
           (unsigned long long)bytes);
    return STATUS_DONE;
}

static int note_account(void *ends, const struct account *account) {
    int64_t end = account->refreshed_at / SECOND + API_REFRESH_LIFE * INT64_C(86400);
    if (account->id[0] != '\0')
        json_object_object_add(ends, account->id, json_object_new_int64(account->error[0] != '\0' ? 0 : end));
    return 0;
}

/* When the tokens of each of the door page's accounts end if they are not renewed. */
static int print_accounts(const struct config *config) {
    struct reason reason = {""};
    struct door door;
    if (config->door[0] == '\0')
        return STATUS_DONE;
    if (door_open(&door, config, &reason) != 0)
        return problem("%s", reason.text);
    struct json_object *ends = json_object_new_object();
    account_each(&door, note_account, ends, &reason);
    puts(
        "# HELP doorpost_account_end_timestamp_seconds When the tokens of a Ring account end unless they are "
        "renewed; 0: Ring refuses them.\n"
        "# TYPE doorpost_account_end_timestamp_seconds gauge");
    print_metric("doorpost_account_end_timestamp_seconds", "account", ends);
    json_object_put(ends);
    door_close(&door);
    return reason.text[0] == '\0' ? STATUS_DONE : problem("%s", reason.text);
}

static const struct {
    const char *name, *type, *help;
} forward_metrics[] = {
    {"doorpost_forward_lag_events", "gauge", "Events that have not been forwarded yet."},
    {"doorpost_forward_lag_seconds", "gauge", "How long ago the oldest of them was received."},
    {"doorpost_forward_sent_total", "counter", "Events that were new to the database."},
    {"doorpost_forward_duplicates_total", "counter", "Events that the database already had."},
    {"doorpost_forward_errors_total", "counter", "Failed attempts to forward events."},
};
#define FORWARD_METRICS (sizeof forward_metrics / sizeof *forward_metrics)

static void note_forwarder(void *context, const struct forward_status *status) {
    struct json_object **values = context;
    const struct forward_note *note = &status->note;
    const int64_t numbers[FORWARD_METRICS] = {(int64_t)status->lag.events, status->lag.seconds,
                                              (int64_t)note->sent, (int64_t)note->duplicates,
                                              (int64_t)note->errors};
    for (size_t i = 0; i < FORWARD_METRICS; i++)
        json_object_object_add(values[i], status->name, json_object_new_int64(numbers[i]));
}

/* How far each forwarder has come. */
static int print_forwarders(struct lines *lines) {
    struct json_object *values[FORWARD_METRICS];
    for (size_t i = 0; i < FORWARD_METRICS; i++)
        values[i] = json_object_new_object();
    int status = forward_status_each(lines, note_forwarder, values);
    bool any = json_object_object_length(values[0]) > 0;
    for (size_t i = 0; i < FORWARD_METRICS; i++) {
        const char *name = forward_metrics[i].name;
        if (any)
            printf("# HELP %s %s\n# TYPE %s %s\n", name, forward_metrics[i].help, name,
                   forward_metrics[i].type);
        print_metric(name, "name", values[i]);
        json_object_put(values[i]);
    }
    return status;
}

/* Returns true if there is a filter; then only lines still in the journal are counted. */
static bool is_filtered(const struct filter *filter) {
    return filter->since_text != NULL || filter->until_text != NULL ||
           filter->devices.count + filter->accounts.count + filter->types.count > 0;
}

/* Adds what only a journal has. */
static int count_rejections(struct totals *totals, const struct lines *lines, const struct options *options) {
    struct reason reason = {""};
    int result = rejected_each(lines->directory.fd, options->filter.since, options->filter.until,
                               count_rejection, totals, &reason);
    if (result != 0)
        return problem("%s", result < 0 ? reason.text : "out of memory for the counts");
    return STATUS_DONE;
}

static int count_and_print(struct totals *totals, struct lines *lines, const struct options *options) {
    struct reason reason = {""};
    bool journal = lines->stream == NULL;
    if (journal && options->prometheus && !is_filtered(&options->filter) &&
        counters_read(lines->directory.fd, &totals->counters, &reason) != 0)
        return problem("%s", reason.text);
    int status = count_events(totals, lines, options);
    if (status == STATUS_DONE && journal)
        status = count_rejections(totals, lines, options);
    if (status != STATUS_DONE)
        return status;
    if (options->prometheus)
        status = print_prometheus(totals, lines);
    else if (options->json)
        status = report_totals(totals);
    else {
        show_totals(totals);
        lines_explain_empty(lines);
        if (lines->passed > 0 && totals->events == 0)
            explain_empty("There are only doctor's test presses (" EVENT_TEST_DEVICE
                          "), which are not counted.");
    }
    return status == STATUS_DONE && lines->damaged > 0 ? STATUS_PROBLEM : status;
}

static int stats_main(int argc, char *argv[]) {
    struct options options = {0};
    struct config config = {0};
    static struct totals totals;
    options_parse(argc, argv, &verb_stats, &options);
    filter_start(&options.filter);
    if (options.json && options.prometheus)
        usage_error("--json and --prometheus cannot be combined");
    struct lines *lines = lines_open_from(&options.settings, &options.filter, false, &config);
    if (lines == NULL)
        return STATUS_PROBLEM;
    bool counting = counters_start(&totals.counters);
    struct json_object **counts[] = {&totals.day, &totals.type, &totals.device, &totals.rejected};
    size_t count = sizeof counts / sizeof *counts - (lines->stream != NULL); /* a stream has no rejected */
    int status = counting ? STATUS_DONE : problem("out of memory");
    for (size_t i = 0; i < count; i++) {
        *counts[i] = json_object_new_object();
        if (*counts[i] == NULL)
            status = problem("out of memory");
    }
    if (status == STATUS_DONE)
        status = count_and_print(&totals, lines, &options);
    if (options.prometheus && lines->stream == NULL && print_forwarders(lines) != STATUS_DONE)
        status = STATUS_PROBLEM;
    if (options.prometheus && print_accounts(&config) != STATUS_DONE)
        status = STATUS_PROBLEM;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_put(*counts[i]);
    counters_end(&totals.counters);
    lines_close(lines);
    return status;
}

static const struct option_spec table[] = {OPTIONS_FILTER,
                                           {0, "json", OPTION_FLAG, NULL, "one JSON object", AT(json)},
                                           {0, "prometheus", OPTION_FLAG, NULL,
                                            "metrics for the textfile collector of node_exporter",
                                            AT(prometheus)},
                                           OPTION_CONF,
                                           OPTION_JOURNAL,
                                           OPTION_FROM,
                                           {0}};

const struct verb verb_stats = {
    .name = "stats",
    .summary = "count presses by day, hour and device; delays; rejections",
    .synopsis = "[--since TIME] [--until TIME] [--device ID]... [--json | --prometheus] [--from URL]",
    .what = "Counts presses by day, hour of the day and device, and signed but unusable deliveries; shows "
            "how long\n"
            "after the press deliveries arrived. Days and hours are those of the press, in local time. With "
            "--from: over the\n"
            "events of all nodes, without the unusable deliveries, which stay on their nodes.",
    .options = table,
    .run = stats_main,
};

/* doorpost forward: copies the journal's events into the database of the merged stream. */
#include "cursor.h"
#include "database.h"
#include "forward_status.h"
#include "forwarder.h"
#include "lines.h"
#include "schema.h"
#include "settings.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NODE_SIZE 256
#define NODE_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

struct options {
    struct settings settings;
    struct forward forward;
    struct filter filter; /* --since */
    bool schema, status, json;
};

static void check_options(const struct options *options) {
    const struct forward *forward = &options->forward;
    struct reason reason;
    if (forward->name != NULL && !cursor_name_is_good(forward->name))
        usage_error("a consumer's name may contain only letters, digits, - and _, at most %d characters",
                    CURSOR_NAME_SIZE - 1);
    bool runs = !options->schema && !options->status;
    if (runs && (forward->node[0] == '\0' || strspn(forward->node, NODE_CHARACTERS) != strlen(forward->node)))
        usage_error(
            "a node's name may contain only letters, digits, -, _ and ., not \"%s\": choose one with --node",
            forward->node);
    if (forward->verify != (options->filter.since_text != NULL))
        usage_error("--verify and --since TIME belong together");
    if (forward->to != NULL && database_check(forward->to, &reason) != 0)
        usage_error("%s", reason.text);
    if (runs && forward->to == NULL)
        usage_error("no database given: use --to postgresql://HOST/DATABASE");
}

static int forward_main(int argc, char *argv[]) {
    char node[NODE_SIZE] = "";
    gethostname(node, sizeof node - 1);
    struct options options = {.forward = {.node = node}};
    static struct config config;
    options_parse(argc, argv, &verb_forward, &options);
    check_options(&options);
    filter_start(&options.filter);
    options.forward.since = options.filter.since;
    if (options.schema)
        return fputs(schema_sql, stdout) >= 0 && fflush(stdout) == 0 ? STATUS_DONE
                                                                     : problem("cannot write the schema");
    if (settings_load(&options.settings, NEED_JOURNAL, &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (options.status)
        return forward_status_show(&config, options.forward.name, options.json);
    if (options.forward.name == NULL)
        options.forward.name = FORWARDER_NAME;
    return forwarder_run(&config, &options.forward);
}

static const struct option_spec table[] = {
    {0, "to", OPTION_TEXT, "URL", "the database: postgresql://HOST/NAME, or key=value pairs", AT(forward.to)},
    {0, "name", OPTION_TEXT, "NAME",
     "the consumer's name (default forward); its position is kept in cursors/NAME", AT(forward.name)},
    {0, "node", OPTION_TEXT, "NAME", "this node's name in the stream (default: the host's)",
     AT(forward.node)},
    {0, "once", OPTION_FLAG, NULL, "forward the events already received, and exit", AT(forward.once)},
    {0, "schema", OPTION_FLAG, NULL, "print the SQL that creates or updates the database's tables",
     AT(schema)},
    {0, "verify", OPTION_FLAG, NULL, "send again what the database lacks, and exit; with --since",
     AT(forward.verify)},
    {'S', "since", OPTION_TEXT, "TIME", "received at or after: a date, \"2 hours ago\", 8d",
     AT(filter.since_text)},
    {0, "status", OPTION_FLAG, NULL, "show how far the forwarder is behind, and its last failure",
     AT(status)},
    {0, "json", OPTION_FLAG, NULL, "--status as one JSON array", AT(json)},
    OPTION_CONF,
    OPTION_JOURNAL,
    {0}};

const struct verb verb_forward = {
    .name = "forward",
    .summary = "copy the events into a database that many nodes share",
    .synopsis = "--to URL [--node NAME] [--once | --verify --since TIME]",
    .what = "Follows the journal and stores each event in a PostgreSQL database, in which the events of many "
            "nodes\n"
            "become one stream, each once. The journal remains the truth: while the database is away, events "
            "wait\n"
            "there. Create the tables first: doorpost forward --schema | psql DATABASE.",
    .options = table,
    .run = forward_main,
};

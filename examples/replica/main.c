/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A read replica: two processes, each with a CMK of its own.  The primary writes pages and a log;
 * the follower begins with a backup and follows the log.  All that passes between them is
 * encrypted end to end (session.h).
 */
#include "net.h"
#include "say.h"
#include "sides.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static const char help[] =
    "usage: replica COMMAND ... --cmk file:KEY\n"
    "\n"
    "  create DIR                     an empty primary\n"
    "  put DIR PAGE TEXT              a page, while nothing else writes\n"
    "  get DIR PAGE                   its text, while the primary or the follower runs or not\n"
    "  sum DIR                        LSN, number of pages and their hash, to compare copies\n"
    "  primary DIR --follower-cmk file:KEY --listen ADDRESS [--load N] [--keep N]\n"
    "                                 serves followers; puts N records of its own making; keeps\n"
    "                                 the last N records in its log [1024], and those that a\n"
    "                                 follower is waiting for\n"
    "  follow DIR --connect ADDRESS   a copy of the primary's pages, made if there is none\n"
    "  backup FILE --connect ADDRESS  a backup of the primary, under --cmk\n"
    "  recover DIR --from FILE [--log-of DIR --log-cmk file:KEY] [--until LSN]\n"
    "                                 a new primary of a backup, and of a log from there on, up\n"
    "                                 to an LSN\n"
    "\n"
    "ADDRESS is unix:PATH or tcp:HOST:PORT.  --check-key MS: how often primary and follower ask\n"
    "for their key [1000]; a side whose CMK is disabled stops, and goes on when it is enabled\n"
    "again.  `replica primary DIR` on what followed makes it a primary.\n";

struct arguments {
    const char *words[4];
    int count;
    const char *from;
    struct envol_provider *provider, *other_provider;
    struct side_options side;
};

typedef enum envol_status run_command(struct arguments *arguments, struct envol_error *error);

/* --- the commands ---*/

static bool parse_number(const char *text, uint64_t *number)
{
    char *end;

    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0';
}

static enum envol_status run_create(struct arguments *arguments, struct envol_error *error)
{
    return engine_create(arguments->side.path, &arguments->side.engine.cmk, error);
}

static enum envol_status put_one(struct engine *engine, uint64_t page_no, const char *text,
                                 struct envol_error *error)
{
    uint8_t record[RECORD_BYTES];
    struct envol_log_entry entry = {.data = record, .bytes = RECORD_BYTES};
    enum envol_status status;

    record_fill(record, page_no, text, strlen(text));
    status = engine_put(engine, &entry, 1, error);
    if (status == ENVOL_OK)
        say("LSN %llu", (unsigned long long)entry.lsn);
    return status;
}

static enum envol_status run_put(struct arguments *arguments, struct envol_error *error)
{
    struct envol_error close_error = ENVOL_ERROR_INIT;
    struct engine engine;
    uint64_t page_no;
    enum envol_status closed, status;

    if (!parse_number(arguments->words[2], &page_no))
        return fail(error, ENVOL_E_ARGUMENT, "%.50s is no page number", arguments->words[2]);
    status = engine_open(&engine, arguments->side.path, &arguments->side.engine, error);
    if (status == ENVOL_OK)
        status = put_one(&engine, page_no, arguments->words[3], error);
    closed = engine_close(&engine, &close_error);
    if (status == ENVOL_OK && (status = closed) != ENVOL_OK)
        *error = close_error;
    return status;
}

static enum envol_status run_get(struct arguments *arguments, struct envol_error *error)
{
    struct reader reader;
    uint64_t page_no;
    char page[PAGE_BYTES + 1] = "";
    enum envol_status status;

    if (!parse_number(arguments->words[2], &page_no))
        return fail(error, ENVOL_E_ARGUMENT, "%.50s is no page number", arguments->words[2]);
    status = reader_open(&reader, arguments->side.path, &arguments->side.engine.cmk, error);
    if (status == ENVOL_OK) {
        status = reader_get(&reader, page_no, page);
        if (status == ENVOL_OK)
            say("%s", page);
        else
            fail(error, status, "page %s", arguments->words[2]);
    }
    reader_close(&reader);
    return status;
}

static enum envol_status run_sum(struct arguments *arguments, struct envol_error *error)
{
    struct reader reader;
    struct control control;
    uint64_t pages, hash;
    enum envol_status status =
        reader_open(&reader, arguments->side.path, &arguments->side.engine.cmk, error);

    if (status == ENVOL_OK)
        status = control_read(reader.volume, &control, error);
    if (status == ENVOL_OK)
        status = reader_sum(&reader, &pages, &hash, error);
    if (status == ENVOL_OK)
        say("lsn=%llu pages=%llu hash=%016llx", (unsigned long long)control.lsn,
            (unsigned long long)pages, (unsigned long long)hash);
    reader_close(&reader);
    return status;
}

static enum envol_status run_primary(struct arguments *arguments, struct envol_error *error)
{
    return primary_run(&arguments->side, error);
}

static enum envol_status run_follow(struct arguments *arguments, struct envol_error *error)
{
    arguments->side.engine.role = ROLE_FOLLOWER;
    return follower_run(&arguments->side, error);
}

static enum envol_status run_backup(struct arguments *arguments, struct envol_error *error)
{
    return backup_save(&arguments->side, error);
}

static enum envol_status run_recover(struct arguments *arguments, struct envol_error *error)
{
    return backup_recover(&arguments->side, arguments->from, error);
}

/* --- the command line ---*/

enum needs { NEEDS_NOTHING, NEEDS_LISTEN, NEEDS_CONNECT, NEEDS_FROM };

static const struct command {
    const char *verb;
    int words; /* with the verb */
    enum needs needs;
    run_command *run;
} commands[] = {
    {"create", 2, NEEDS_NOTHING, run_create},  {"put", 4, NEEDS_NOTHING, run_put},
    {"get", 3, NEEDS_NOTHING, run_get},        {"sum", 2, NEEDS_NOTHING, run_sum},
    {"primary", 2, NEEDS_LISTEN, run_primary}, {"follow", 2, NEEDS_CONNECT, run_follow},
    {"backup", 2, NEEDS_CONNECT, run_backup},  {"recover", 2, NEEDS_FROM, run_recover},
};

static bool has_needs(const struct arguments *arguments, enum needs needs)
{
    const struct side_options *side = &arguments->side;

    if (needs == NEEDS_LISTEN)
        return side->address != NULL && side->other_cmk.provider != NULL;
    if (needs == NEEDS_CONNECT)
        return side->address != NULL;
    if (needs == NEEDS_FROM)
        return arguments->from != NULL &&
               (side->log_of == NULL) == (side->other_cmk.provider == NULL) &&
               (side->until == 0 || side->log_of != NULL);
    return true;
}

static const struct command *find_command(const struct arguments *arguments)
{
    for (size_t i = 0; arguments->count > 0 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(arguments->words[0], commands[i].verb) == 0)
            return arguments->count == commands[i].words &&
                           arguments->side.engine.cmk.provider != NULL &&
                           has_needs(arguments, commands[i].needs)
                       ? &commands[i]
                       : NULL;
    }
    return NULL;
}

/* A key file holds one key. */
static bool open_key(const char *uri, struct envol_provider **provider, struct envol_cmk *cmk)
{
    if (*provider != NULL || strncmp(uri, "file:", 5) != 0 ||
        envol_file_provider_open(uri + 5, provider) != ENVOL_OK)
        return false;
    cmk->provider = *provider;
    return true;
}

static bool parse_option(struct arguments *arguments, int option, const char *value)
{
    struct side_options *side = &arguments->side;
    uint64_t number = 0;

    switch (option) {
    case 'c':
        return open_key(value, &arguments->provider, &side->engine.cmk);
    case 'o':
        return open_key(value, &arguments->other_provider, &side->other_cmk);
    case 'a':
        side->address = value;
        return net_is_address(value);
    case 'g':
        side->log_of = value;
        return true;
    case 'f':
        arguments->from = value;
        return true;
    case 'l':
        return parse_number(value, &side->load);
    case 'k':
        return parse_number(value, &side->engine.keep);
    case 'u':
        return parse_number(value, &side->until) && side->until > 0;
    case 'm':
        side->engine.check_key_ms =
            parse_number(value, &number) && number <= 3600000 ? (unsigned)number : 0;
        return side->engine.check_key_ms > 0;
    default:
        return false;
    }
}

static bool parse(struct arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {
        {"cmk", required_argument, NULL, 'c'},       {"follower-cmk", required_argument, NULL, 'o'},
        {"log-cmk", required_argument, NULL, 'o'},   {"listen", required_argument, NULL, 'a'},
        {"connect", required_argument, NULL, 'a'},   {"log-of", required_argument, NULL, 'g'},
        {"from", required_argument, NULL, 'f'},      {"load", required_argument, NULL, 'l'},
        {"keep", required_argument, NULL, 'k'},      {"until", required_argument, NULL, 'u'},
        {"check-key", required_argument, NULL, 'm'}, {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (!parse_option(arguments, option, optarg))
            return false;
    }
    for (; optind < argc && arguments->count < 4; arguments->count++)
        arguments->words[arguments->count] = argv[optind++];
    arguments->side.path = arguments->words[1];
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {
        .side.engine = {.role = ROLE_PRIMARY, .keep = 1024, .check_key_ms = 1000}};
    struct envol_error error = ENVOL_ERROR_INIT;
    const struct command *command = NULL;
    enum envol_status status = ENVOL_OK;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return EXIT_SUCCESS;
    }
    if (parse(&arguments, argc, argv))
        command = find_command(&arguments);
    if (command != NULL) {
        stop_on_signals();
        status = command->run(&arguments, &error);
    } else {
        fputs(help, stderr);
    }
    envol_provider_close(arguments.provider);
    envol_provider_close(arguments.other_provider);
    if (status != ENVOL_OK)
        complain(arguments.words[1], status, &error);
    return command == NULL ? EXIT_USAGE : status == ENVOL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

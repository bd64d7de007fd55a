/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thousands of files under one DEK: a small storage engine that does its own I/O (engine.h says
 * how), and a command to use it.
 *
 *     tables create DIR                    a new engine; with --own-header it keeps the header
 *                                          itself, in DIR/header and not in a volume DIR/keyring
 *     tables put DIR TABLE KEY VALUE       a row; the table is made if there is none
 *     tables get DIR TABLE KEY             its value to standard output
 *     tables scan DIR TABLE                all rows: KEY, a tab, VALUE
 *     tables load DIR                      rows from standard input: TABLE, KEY and VALUE between
 *                                          tabs; an empty line commits, and so does the end.
 *                                          "synced N": the first N rows are safe; with --rotate
 *                                          a step of a rotation follows each commit, up to
 *                                          "rotated to epoch E"
 *     tables fill DIR N                    N tables of a row each, table-00001 and so on
 *     tables check DIR                     opens and reads everything; a line of figures, with the
 *                                          pages and long values of each epoch
 *     tables rotate DIR                    a new DEK, and everything sealed again under it; or goes
 *                                          on where the last one was stopped
 *
 * and with each --cmk file:PATH, a key file (envol keygen makes one).  Several of them at create
 * make a slot each, and any of these opens; a rotation needs them all.  The keyring in DIR is a
 * volume as any other, and the header has the form of one: `envol info DIR/keyring`, `envol slot`,
 * `envol rewrap` work on it.  A rotation is not one of them: it would end with the keyring's own
 * pages, which are none.
 */
#include "engine.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, CHECK_THREADS = 4, FILL_MAX = 1000000 };

/* Pages of a step: that a commit waits for; and of one that nobody waits for. */
enum { STEP_PAGES = 16, LONG_STEP_PAGES = 1024 };

struct call {
    struct engine *engine;
    char **words; /* behind DIR */
    bool rotate;
};

static void print_bad(void *ctx, const struct table *table, uint32_t page_no, const char *what,
                      enum envol_status status)
{
    (void)ctx;
    fprintf(stderr, "tables: table %s, page %" PRIu32 ": %s: %s (%s)\n", table->name, page_no, what,
            envol_status_message(status), envol_status_name(status));
}

/* --- put, get, scan ---*/

static enum envol_status run_put(struct call *call)
{
    const char *value = call->words[2];
    enum envol_status status =
        engine_put(call->engine, call->words[0], call->words[1], value, strlen(value));

    return status == ENVOL_OK ? engine_commit(call->engine) : status;
}

struct output {
    bool with_key;
    size_t rows;
};

static enum envol_status print_row(void *ctx, const struct row *row, const void *value)
{
    struct output *output = ctx;

    output->rows++;
    if (output->with_key) {
        fwrite(row->key, 1, row->key_bytes, stdout);
        putchar('\t');
    }
    fwrite(value, 1, row->value_bytes, stdout);
    putchar('\n');
    return ferror(stdout) ? ENVOL_E_IO : ENVOL_OK;
}

static enum envol_status run_get(struct call *call)
{
    struct output output = {.with_key = false};
    enum envol_status status =
        engine_scan(call->engine, call->words[0], call->words[1], print_row, &output);

    if (status == ENVOL_OK && output.rows == 0)
        status =
            engine_fail(call->engine, ENVOL_E_UNWRITTEN, "there is no key %.200s", call->words[1]);
    return status;
}

static enum envol_status run_scan(struct call *call)
{
    struct output output = {.with_key = true};

    return engine_scan(call->engine, call->words[0], NULL, print_row, &output);
}

/* --- load ---*/

static enum envol_status load_line(struct engine *engine, char *line)
{
    char *rest = line, *table = strsep(&rest, "\t"), *key = strsep(&rest, "\t");

    return rest == NULL ? engine_fail(engine, ENVOL_E_ARGUMENT, "no line of table, key and value")
                        : engine_put(engine, table, key, rest, strlen(rest));
}

static enum envol_status commit_rows(struct engine *engine, uint64_t rows)
{
    enum envol_status status = engine_commit(engine);

    if (status == ENVOL_OK && (printf("synced %" PRIu64 "\n", rows) < 0 || fflush(stdout) != 0))
        status = engine_fail(engine, ENVOL_E_IO, "standard output");
    return status;
}

/* Where something does not read, the rotation is left as it is: `tables rotate` says so again. */
static enum envol_status rotate_beside(struct call *call)
{
    struct engine *engine = call->engine;
    enum envol_status status = engine_rotate_step(engine, STEP_PAGES, print_bad, NULL);

    if (status != ENVOL_OK || !engine_rotate_is_swept(engine))
        return status;
    call->rotate = false;
    if (engine->sweep.bad > 0)
        return ENVOL_OK;
    status = engine_rotate_finish(engine);
    if (status == ENVOL_OK)
        printf("rotated to epoch %" PRIu32 "\n", envol_keyring_epoch(engine->keyring));
    return status;
}

static enum envol_status run_load(struct call *call)
{
    enum envol_status status = call->rotate ? engine_rotate_begin(call->engine) : ENVOL_OK;
    char *line = NULL;
    size_t capacity = 0;
    uint64_t rows = 0;
    ssize_t length;

    while (status == ENVOL_OK && (length = getline(&line, &capacity, stdin)) > 0) {
        if (line[length - 1] == '\n')
            line[--length] = '\0';
        if (length == 0) {
            status = commit_rows(call->engine, rows);
            if (status == ENVOL_OK && call->rotate)
                status = rotate_beside(call);
        } else {
            status = load_line(call->engine, line);
            rows++;
        }
    }
    free(line);
    return status == ENVOL_OK ? commit_rows(call->engine, rows) : status;
}

/* --- fill ---*/

static enum envol_status fill_one(struct engine *engine, size_t number, struct table **table)
{
    char name[32], value[64];
    struct row row = {.key = "about", .key_bytes = strlen("about"), .value = value};
    uint8_t page[STRIDE_BYTES];

    snprintf(name, sizeof name, "table-%05zu", number);
    row.value_bytes = (size_t)snprintf(value, sizeof value, "this is %s", name);
    if (catalog_find(engine, name) != NULL)
        return engine_fail(engine, ENVOL_E_STATE, "%s is there already", name);
    page_init(page);
    page_add(page, &row);
    return table_make(engine, name, page, table);
}

/* One new catalog for all of them: after a crash there are all or none. */
static enum envol_status run_fill(struct call *call)
{
    char *end;
    size_t count = strtoul(call->words[0], &end, 10), made = 0;
    enum envol_status status = ENVOL_OK;
    struct table **tables;

    if (*end != '\0' || call->words[0][0] < '0' || call->words[0][0] > '9' || count > FILL_MAX)
        return engine_fail(call->engine, ENVOL_E_ARGUMENT, "%s is no number up to %d",
                           call->words[0], FILL_MAX);
    tables = calloc(count + 1, sizeof *tables);
    if (tables == NULL)
        return engine_fail(call->engine, ENVOL_E_NO_MEMORY, "%zu tables", count);
    while (status == ENVOL_OK && made < count) {
        status = fill_one(call->engine, made + 1, &tables[made]);
        made += status == ENVOL_OK;
    }
    if (status == ENVOL_OK)
        status = catalog_add(call->engine, tables, count);
    else
        while (made > 0)
            table_free(tables[--made]);
    free(tables);
    return status;
}

/* --- check ---*/

/* What the kernel holds locked for this process; the library's own figure stands beside it. */
static unsigned long locked_kib(void)
{
    FILE *from = fopen("/proc/self/status", "r");
    unsigned long kib = 0;
    char line[128];

    while (from != NULL && fgets(line, sizeof line, from) != NULL)
        (void)sscanf(line, "VmLck: %lu", &kib);
    if (from != NULL)
        fclose(from);
    return kib;
}

static void print_epochs(const struct envol_keyring *keyring, const struct check_result *result)
{
    uint32_t lowest = envol_keyring_lowest_epoch(keyring);

    for (uint32_t epoch = lowest; epoch <= envol_keyring_epoch(keyring); epoch++)
        printf(" pages_of_%" PRIu32 "=%" PRIu64 " values_of_%" PRIu32 "=%" PRIu64, epoch,
               result->pages_of[epoch - lowest], epoch, result->values_of[epoch - lowest]);
    putchar('\n');
}

static enum envol_status run_check(struct call *call)
{
    const struct engine *engine = call->engine;
    struct envol_memory_stats memory = {.struct_size = sizeof memory};
    struct check_result result;
    enum envol_status status = engine_check(call->engine, CHECK_THREADS, print_bad, NULL, &result);

    if (status == ENVOL_OK)
        status = envol_memory_stats(&memory);
    if (status != ENVOL_OK)
        return status;
    printf("tables=%zu pages=%" PRIu64 " values=%" PRIu64 " bad=%" PRIu64 " epoch=%" PRIu32
           " lowest=%" PRIu32 " swept=%" PRIu32 " provider_calls=%u locked_bytes=%zu VmLck_KiB=%lu",
           engine->table_count, result.pages, result.values, result.bad,
           envol_keyring_epoch(engine->keyring), envol_keyring_lowest_epoch(engine->keyring),
           result.swept, engine->provider_calls, memory.locked_bytes, locked_kib());
    print_epochs(engine->keyring, &result);
    return result.bad == 0 ? ENVOL_OK
                           : engine_fail(call->engine, ENVOL_E_CORRUPT, "not all of it is sound");
}

/* --- rotate ---*/

static enum envol_status run_rotate(struct call *call)
{
    struct engine *engine = call->engine;
    const struct sweep *sweep = &engine->sweep;
    enum envol_status status = engine_rotate_begin(engine);

    while (status == ENVOL_OK && !engine_rotate_is_swept(engine))
        status = engine_rotate_step(engine, LONG_STEP_PAGES, print_bad, NULL);
    if (status != ENVOL_OK)
        return status;
    status = engine_rotate_finish(engine);
    printf("resealed_pages=%" PRIu64 " resealed_values=%" PRIu64 " bad=%" PRIu64 " epoch=%" PRIu32
           " lowest=%" PRIu32 " provider_calls=%u\n",
           sweep->pages, sweep->values, sweep->bad, envol_keyring_epoch(engine->keyring),
           envol_keyring_lowest_epoch(engine->keyring), engine->provider_calls);
    return status;
}

/* --- The command line ---*/

static enum envol_status run_create(struct call *call)
{
    (void)call; /* opening did it */
    return ENVOL_OK;
}

struct command {
    const char *verb;
    int words; /* behind DIR */
    enum envol_status (*run)(struct call *call);
};

static const struct command commands[] = {
    {"create", 0, run_create}, {"put", 3, run_put},       {"get", 2, run_get},
    {"scan", 1, run_scan},     {"load", 0, run_load},     {"fill", 1, run_fill},
    {"check", 0, run_check},   {"rotate", 0, run_rotate},
};

static int usage(void)
{
    fprintf(stderr, "usage: tables create|put|get|scan|load|fill|check|rotate DIR "
                    "[TABLE [KEY [VALUE]]|N] --cmk file:PATH... [--own-header] [--rotate]\n");
    return EXIT_USAGE;
}

static const struct command *find_command(int count, char **words)
{
    for (size_t i = 0; count >= 2 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(words[0], commands[i].verb) == 0 && count == commands[i].words + 2)
            return &commands[i];
    }
    return NULL;
}

struct options {
    struct key_files files;
    bool rotate, own_header;
};

static bool add_key_file(struct key_files *files, const char *uri)
{
    if (strncmp(uri, "file:", 5) != 0 || uri[5] == '\0' || files->count == ENVOL_SLOTS_MAX)
        return false;
    files->path[files->count++] = uri + 5;
    return true;
}

static bool parse_options(int argc, char **argv, struct options *given)
{
    static const struct option options[] = {{"cmk", required_argument, NULL, 'c'},
                                            {"rotate", no_argument, NULL, 'r'},
                                            {"own-header", no_argument, NULL, 'o'},
                                            {0}};
    int option;

    *given = (struct options){.rotate = false};
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (option == 'r')
            given->rotate = true;
        else if (option == 'o')
            given->own_header = true;
        else if (option != 'c' || !add_key_file(&given->files, optarg))
            return false;
    }
    return given->files.count > 0;
}

/* Each belongs to one verb. */
static bool fits(const struct options *given, const struct command *command)
{
    return (!given->rotate || command->run == run_load) &&
           (!given->own_header || command->run == run_create);
}

static int run(const struct command *command, char **words, const struct options *given)
{
    struct engine engine;
    struct call call = {.engine = &engine, .words = words + 2, .rotate = given->rotate};
    enum envol_status status =
        command->run == run_create
            ? engine_create(&engine, words[1], &given->files, given->own_header)
            : engine_open(&engine, words[1], &given->files);
    enum envol_status closed;

    if (status == ENVOL_OK)
        status = command->run(&call);
    closed = engine_close(&engine);
    if (status == ENVOL_OK && closed != ENVOL_OK)
        status = engine_fail(&engine, closed, "the keyring");
    if (status == ENVOL_OK && fflush(stdout) != 0)
        status = engine_fail(&engine, ENVOL_E_IO, "standard output");
    if (status == ENVOL_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "tables: %s%s%s%s%s (%s)\n", engine.error.message,
            engine.error.message[0] != '\0' ? ": " : "", envol_status_message(status),
            engine.error.os_errno != 0 ? ": " : "",
            engine.error.os_errno != 0 ? strerror(engine.error.os_errno) : "",
            envol_status_name(status));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct options given;
    bool is_sound = parse_options(argc, argv, &given);
    const struct command *command = find_command(argc - optind, argv + optind);

    if (!is_sound || command == NULL || !fits(&given, command))
        return usage();
    return run(command, argv + optind, &given);
}

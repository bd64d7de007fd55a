/* SPDX-License-Identifier: BSD-2-Clause */
/* The program kv: one command, or commands on standard input, on a store. */
#include "program.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

static const char help[] =
    "usage: kv COMMAND DIR ... --cmk file:KEY\n"
    "\n"
    "  create DIR                 an empty store\n"
    "  put DIR KEY VALUE          one commit; so is delete\n"
    "  get DIR KEY\n"
    "  delete DIR KEY\n"
    "  scan DIR [FROM [TO]]       lines KEY<tab>VALUE, from FROM on, to below TO\n"
    "  load DIR                   such lines from standard input, --batch N of them [100] a "
    "commit,\n"
    "                             by --threads N [1]; says each line's number when it is safe;\n"
    "                             --backup FILE --to file:KEY makes a backup meanwhile\n"
    "  check DIR                  reads all there is\n"
    "  snapshot DIR               its UUID; --snapshot UUID makes get, scan and check read it\n"
    "  release DIR UUID           gives a snapshot up\n"
    "  backup DIR --to file:KEY   to standard output, under the CMK of that key\n"
    "  restore DIR --from file:KEY\n"
    "                             a new store, out of a backup on standard input\n"
    "  rotate DIR                 a new DEK for all there is\n"
    "  shell DIR                  commands on standard input, without DIR, their words separated "
    "by\n"
    "                             tabs; begin and commit around puts and deletes make one commit;\n"
    "                             unlock brings the keys back after the CMK was enabled again\n"
    "\n"
    "--check-key MS: how often the key service is asked whether the CMK is still enabled "
    "[300000].\n";

static const struct option options[] = {
    {"cmk", required_argument, NULL, 'c'},     {"to", required_argument, NULL, 't'},
    {"from", required_argument, NULL, 'f'},    {"snapshot", required_argument, NULL, 's'},
    {"threads", required_argument, NULL, 'n'}, {"batch", required_argument, NULL, 'b'},
    {"backup", required_argument, NULL, 'o'},  {"check-key", required_argument, NULL, 'k'},
    {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};

static bool parse_number(const char *text, unsigned most, unsigned *number)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    *number = (unsigned)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value >= 1 && value <= most;
}

static bool parse_option(struct program *program, int option)
{
    switch (option) {
    case 'c':
        program->cmk_uri = optarg;
        return true;
    case 't':
    case 'f':
        program->other_uri = optarg;
        return true;
    case 'o':
        program->backup = optarg;
        return true;
    case 's':
        program->options.snapshot = program->snapshot;
        return parse_uuid(optarg, program->snapshot);
    case 'n':
        return parse_number(optarg, THREADS_MAX, &program->threads);
    case 'b':
        return parse_number(optarg, KV_COMMIT_MAX, &program->batch);
    case 'k':
        return parse_number(optarg, 1u << 30, &program->options.check_key_ms);
    default:
        return false;
    }
}

/* Other key services are opened by their own calls: envol_provider(3). */
static enum envol_status open_cmk(const char *uri, struct envol_provider **provider,
                                  struct envol_cmk *cmk, struct envol_error *error)
{
    enum envol_status status;

    if (uri == NULL)
        return ENVOL_OK;
    if (strncmp(uri, "file:", 5) != 0)
        return say_why(error, ENVOL_E_UNSUPPORTED, "no file:KEY");
    status = envol_file_provider_open(uri + 5, provider);
    cmk->provider = *provider;
    return status == ENVOL_OK ? ENVOL_OK : say_why(error, status, uri);
}

static int complain(enum envol_status status, const struct envol_error *error)
{
    fprintf(stderr, "kv: %s%s%s (%s)\n",
            error->message[0] != '\0' ? error->message : envol_status_message(status),
            error->os_errno != 0 ? ": " : "", error->os_errno != 0 ? strerror(error->os_errno) : "",
            envol_status_name(status));
    return EXIT_FAILURE;
}

static enum envol_status run(struct program *program, const struct command *command,
                             struct envol_error *error)
{
    struct envol_error unused = ENVOL_ERROR_INIT;
    enum envol_status closed, status;

    if (command->needs_no_store)
        return command->run(program, error);
    status = kv_open(program->path, &program->cmk, &program->options, &program->kv, error);
    if (status != ENVOL_OK)
        return status;
    status = command->run(program, error);
    closed = kv_close(program->kv, status == ENVOL_OK ? error : &unused);
    return status == ENVOL_OK ? closed : status;
}

/* A backup has a CMK of its own; of the commands that take one, load alone does without. */
static bool has_its_keys(const struct program *program, const struct command *command)
{
    bool is_load = command->run == run_load;
    bool has_other = program->other_uri != NULL;

    if (program->cmk_uri == NULL || (program->backup != NULL && !is_load))
        return false;
    return is_load ? has_other == (program->backup != NULL) : has_other == command->takes_other;
}

int main(int argc, char **argv)
{
    struct program program = {.threads = 1, .batch = 100};
    struct envol_error error = ENVOL_ERROR_INIT;
    struct envol_provider *provider = NULL, *other = NULL;
    const struct command *command;
    enum envol_status status;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return EXIT_SUCCESS;
        }
        if (!parse_option(&program, option)) {
            fputs("kv: what is that option? see kv --help\n", stderr);
            return EXIT_USAGE;
        }
    }
    program.path = argc - optind >= 2 ? argv[optind + 1] : NULL;
    program.word_count = argc - optind - 2;
    program.words = argv + optind + 2;
    command = program.path != NULL ? find_command(argv[optind], program.word_count) : NULL;
    if (command == NULL || !has_its_keys(&program, command)) {
        fputs(help, stderr);
        return EXIT_USAGE;
    }
    status = open_cmk(program.cmk_uri, &provider, &program.cmk, &error);
    if (status == ENVOL_OK)
        status = open_cmk(program.other_uri, &other, &program.other, &error);
    if (status == ENVOL_OK)
        status = run(&program, command, &error);
    envol_provider_close(other);
    envol_provider_close(provider);
    if (status == ENVOL_OK && fflush(stdout) != 0)
        status = say_why(&error, ENVOL_E_IO, "standard output");
    return status == ENVOL_OK ? EXIT_SUCCESS : complain(status, &error);
}

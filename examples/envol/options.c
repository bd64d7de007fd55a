/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line: options before, between and after the operands, the verb in one or two words,
 * help and version.  Every mistake is one line and STATUS_USAGE.
 */
#include "command.h"

#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The words of a verb, a volume, and the files of a restore. */
enum { OPERANDS_MAX = FILES_MAX + 3 };

/* What getopt_long answers for an operand, as the leading "-" of the option string asks. */
enum { OPERAND = 1 };

struct parser {
    struct options *options;
    const char *operands[OPERANDS_MAX]; /* the verb's words, then its operands */
    int operand_count;
    bool help;
    bool version;
};

/* An option, and the member of struct options that gets its value: 0, it has none. */
struct known {
    const char *name;
    uint64_t bit;
    size_t value;
};

#define VALUE(member) offsetof(struct options, member)

static const struct known known[] = {
    {"cmk", TAKES_CMK, VALUE(cmks)},
    {"to", TAKES_TO, VALUE(tos)},
    {"from", TAKES_FROM, VALUE(froms)},
    {"audit", TAKES_AUDIT, VALUE(audit)},
    {"suite", TAKES_SUITE, VALUE(suite)},
    {"page-size", TAKES_PAGE_SIZE, VALUE(page_size)},
    {"sparse", TAKES_SPARSE, 0},
    {"atomic-pages", TAKES_ATOMIC, 0},
    {"json", TAKES_JSON, 0},
    {"resume", TAKES_RESUME, 0},
    {"throttle", TAKES_THROTTLE, VALUE(throttle)},
    {"drop-slots", TAKES_DROP_SLOTS, 0},
    {"abandon-bad", TAKES_ABANDON_BAD, 0},
    {"keep-old", TAKES_KEEP_OLD, 0},
    {"ledger", TAKES_LEDGER, 0},
    {"changes", TAKES_CHANGES, VALUE(changes)},
    {"note", TAKES_NOTE, VALUE(note)},
    {"raw", TAKES_RAW, 0},
    {"verify", TAKES_VERIFY, 0},
    {"space", TAKES_SPACE, VALUE(space)},
    {"snapshot", TAKES_SNAPSHOT, VALUE(snapshot)},
    {"record", TAKES_RECORD, 0},
    {"all", TAKES_ALL, 0},
    {"force", TAKES_FORCE, 0},
    {"log", TAKES_LOG, 0},
    {"start", TAKES_START, VALUE(start)},
    {"until", TAKES_UNTIL, VALUE(until)},
    {"follow", TAKES_FOLLOW, 0},
    {"framed", TAKES_FRAMED, 0},
    {"apply", TAKES_APPLY, VALUE(apply)},
};

/* What getopt_long answers for known[0]: beyond any character. */
enum { KNOWN = sizeof known / sizeof known[0], FIRST_CODE = 0x100 };

static void list_options(struct option list[KNOWN + 3])
{
    for (size_t i = 0; i < KNOWN; i++)
        list[i] =
            (struct option){known[i].name, known[i].value != 0 ? required_argument : no_argument,
                            NULL, FIRST_CODE + (int)i};
    list[KNOWN] = (struct option){"help", no_argument, NULL, 'h'};
    list[KNOWN + 1] = (struct option){"version", no_argument, NULL, 'V'};
    list[KNOWN + 2] = (struct option){NULL, 0, NULL, 0};
}

/* NULL: a code that is none of the long options'. */
static const char *option_name(int code)
{
    if (code == 'h' || code == 'V')
        return code == 'h' ? "help" : "version";
    return code < FIRST_CODE ? NULL : known[code - FIRST_CODE].name;
}

/* Of the first of several bits. */
static const char *bit_name(uint64_t bits)
{
    for (size_t i = 0; i < KNOWN; i++) {
        if ((known[i].bit & bits) != 0)
            return known[i].name;
    }
    return NULL;
}

static int take_operand(struct parser *parser, const char *operand)
{
    if (parser->operand_count == OPERANDS_MAX)
        return fail_usage(NULL, "%s: one operand too many; see envol --help", operand);
    parser->operands[parser->operand_count++] = operand;
    return STATUS_OK;
}

static int take_uri(const char *option, const char **uris, size_t *count, const char *uri)
{
    if (*count == CMKS_MAX)
        return fail_usage(NULL, "--%s: a volume has at most %d slots", option, CMKS_MAX);
    for (size_t i = 0; i < *count; i++)
        if (strcmp(uris[i], uri) == 0)
            return fail_usage(NULL, "--%s %s: named twice", option, uri);
    uris[(*count)++] = uri;
    return STATUS_OK;
}

/*
 * getopt_long tells in optopt what it did not understand: 0, an unknown long option; the code of a
 * known one, a value that it does not take; else the letter of an unknown short one.
 */
static int refuse_option(char **argv, int code)
{
    const char *word = argv[optind - 1];
    const char *name = option_name(optopt);

    if (code == ':')
        return fail_usage(NULL, "--%s: its value is missing; see envol --help", name);
    if (optopt == 0)
        return fail_usage(NULL, "%s: unknown option; see envol --help", word);
    if (name != NULL)
        return fail_usage(NULL, "--%s: takes no value; see envol --help", name);
    return fail_usage(NULL, "-%c: unknown option; see envol --help", optopt);
}

static int take_option(struct options *options, const struct known *option)
{
    int exit_status = STATUS_OK;

    if (option->bit == TAKES_CMK)
        exit_status = take_uri("cmk", options->cmks, &options->cmk_count, optarg);
    else if (option->bit == TAKES_TO)
        exit_status = take_uri("to", options->tos, &options->to_count, optarg);
    else if (option->bit == TAKES_FROM)
        exit_status = take_uri("from", options->froms, &options->from_count, optarg);
    else if (option->value != 0 && (options->given & option->bit) != 0) /* one would win silently */
        return fail_usage(NULL, "--%s: given twice", option->name);
    else if (option->value != 0)
        *(const char **)(void *)((char *)options + option->value) = optarg;
    options->given |= option->bit;
    options->to = options->tos[options->to_count == 0 ? 0 : options->to_count - 1];
    return exit_status;
}

static int take(struct parser *parser, char **argv, int code)
{
    switch (code) {
    case OPERAND:
        return take_operand(parser, optarg);
    case 'h':
        parser->help = true;
        return STATUS_OK;
    case 'V':
        parser->version = true;
        return STATUS_OK;
    default:
        return code >= FIRST_CODE ? take_option(parser->options, &known[code - FIRST_CODE])
                                  : refuse_option(argv, code);
    }
}

static int take_all(struct parser *parser, int argc, char **argv)
{
    struct option list[KNOWN + 3];
    int exit_status = STATUS_OK;
    int code;

    list_options(list);
    opterr = 0;
    while (exit_status == STATUS_OK && (code = getopt_long(argc, argv, "-:hV", list, NULL)) != -1)
        exit_status = take(parser, argv, code);
    while (exit_status == STATUS_OK && optind < argc)
        exit_status = take_operand(parser, argv[optind++]);
    return exit_status;
}

/* The verb that the first one or two operands name, and how many they were. */
static const struct verb *find_verb(const struct parser *parser, const struct verb *verbs,
                                    size_t count, int *words)
{
    for (size_t i = 0; i < count; i++) {
        const char *space = strchr(verbs[i].name, ' ');
        size_t first = space == NULL ? strlen(verbs[i].name) : (size_t)(space - verbs[i].name);

        *words = space == NULL ? 1 : 2;
        if (parser->operand_count < *words || strlen(parser->operands[0]) != first ||
            memcmp(parser->operands[0], verbs[i].name, first) != 0)
            continue;
        if (space == NULL || strcmp(space + 1, parser->operands[1]) == 0)
            return &verbs[i];
    }
    return NULL;
}

static void print_help(const struct verb *verbs, size_t count)
{
    printf("usage:\n");
    for (size_t i = 0; i < count; i++)
        printf("  envol %s %s\n      %s\n", verbs[i].name, verbs[i].usage, verbs[i].summary);
    putchar('\n');
    uri_print_usage();
    printf("          ENVOL_CMK stands in for a missing --cmk\n"
           "SUITE     aes-256-gcm (default) or aes-256-xts (no integrity)\n"
           "N         bytes of a page's record on disk, K or M may follow; default 16K\n"
           "MB/s      how much of a volume is sealed again in a second, at most\n"
           "FILE      - or none is standard input or output\n"
           "--space DIR is where a volume's snapshots, catalog and log are; VOL.d without it\n"
           "--audit FILE, with any verb that takes --cmk, appends a line of JSON for each use of\n"
           "          a key service\n"
           "\n"
           "Exit status: 0 success, 1 the data or the key is at fault, 2 usage.  envol(1)\n");
}

static void print_verb_help(const struct verb *verb)
{
    printf("usage: envol %s %s\n%s\n", verb->name, verb->usage, verb->summary);
}

static int refuse_verb(const struct parser *parser)
{
    if (parser->operand_count == 0)
        return fail_usage(NULL, "a verb is missing; see envol --help");
    if (strcmp(parser->operands[0], "slot") == 0 && parser->operand_count == 1)
        return fail_usage(NULL, "slot: list, add or remove?");
    if (strcmp(parser->operands[0], "slot") == 0)
        return fail_usage(NULL, "slot %s: unknown verb; see envol --help", parser->operands[1]);
    if (strcmp(parser->operands[0], "snapshot") == 0 && parser->operand_count == 1)
        return fail_usage(NULL, "snapshot: create, list or delete?");
    if (strcmp(parser->operands[0], "snapshot") == 0)
        return fail_usage(NULL, "snapshot %s: unknown verb; see envol --help", parser->operands[1]);
    if (strcmp(parser->operands[0], "catalog") == 0 && parser->operand_count == 1)
        return fail_usage(NULL, "catalog: list or forget?");
    if (strcmp(parser->operands[0], "catalog") == 0)
        return fail_usage(NULL, "catalog %s: unknown verb; see envol --help", parser->operands[1]);
    if (strcmp(parser->operands[0], "log") == 0 && parser->operand_count == 1)
        return fail_usage(NULL, "log: append, read, replay, truncate or verify?");
    if (strcmp(parser->operands[0], "log") == 0)
        return fail_usage(NULL, "log %s: unknown verb; see envol --help", parser->operands[1]);
    if (strcmp(parser->operands[0], "key") != 0)
        return fail_usage(NULL, "%s: unknown verb; see envol --help", parser->operands[0]);
    if (parser->operand_count == 1)
        return fail_usage(NULL, "key: show, disable, enable, rotate or schedule-deletion?");
    return fail_usage(NULL, "key %s: unknown verb; see envol --help", parser->operands[1]);
}

/* ENVOL_CMK counts as --cmk for the verbs that take one and were given none. */
static void take_environment(const struct verb *verb, struct options *options)
{
    const char *uri = getenv("ENVOL_CMK");

    if ((verb->takes & TAKES_CMK) && options->cmk_count == 0 && uri != NULL && *uri != '\0')
        options->cmks[options->cmk_count++] = uri;
    options->cmk_is_default = options->cmk_count > 0 && options->cmks[0] == uri;
}

static int check_operands(const struct verb *verb, const struct parser *parser, int words)
{
    const struct options *options = parser->options;
    int operands = parser->operand_count - words;

    if ((options->given & TAKES_VERIFY) != 0 && operands == 0)
        return STATUS_OK; /* standard input */
    if (operands < 1 || *options->path == '\0')
        return fail_usage(options, "%.*s is missing; usage: envol %s %s",
                          (int)strcspn(verb->usage, " "), verb->usage, verb->name, verb->usage);
    if (operands > verb->operands)
        return fail_usage(options, "%s: one operand too many; usage: envol %s %s",
                          parser->operands[words + verb->operands], verb->name, verb->usage);
    if (options->file != NULL && *options->file == '\0')
        return fail_usage(options, "the name of FILE is empty");
    if (options->space != NULL && *options->space == '\0')
        return fail_usage(options, "the name of the space is empty");
    return STATUS_OK;
}

static int check(const struct verb *verb, const struct parser *parser, int words)
{
    const struct options *options = parser->options;
    uint64_t takes = verb->takes | ((verb->takes & TAKES_CMK) != 0 ? TAKES_AUDIT : 0);
    uint64_t surplus = options->given & ~takes;
    int exit_status;

    if (surplus != 0)
        return fail_usage(options, "--%s does not apply; usage: envol %s %s", bit_name(surplus),
                          verb->name, verb->usage);
    exit_status = check_operands(verb, parser, words);
    if (exit_status == STATUS_OK && verb->needs_cmk && options->cmk_count == 0)
        return fail_usage(options, "--cmk URI is missing, and ENVOL_CMK is not set");
    if (exit_status == STATUS_OK && (verb->takes & TAKES_TO) && options->to == NULL &&
        (verb->takes & TAKES_VERIFY) == 0)
        return fail_usage(options, "--to URI is missing");
    if (exit_status == STATUS_OK && options->to_count > 1 && (verb->takes & TAKES_VERIFY) == 0)
        return fail_usage(NULL, "--to: given twice");
    for (size_t i = 0; exit_status == STATUS_OK && i < options->to_count; i++)
        exit_status = uri_check(options, "to", options->tos[i]);
    for (size_t i = 0; exit_status == STATUS_OK && i < options->from_count; i++)
        exit_status = uri_check(options, "from", options->froms[i]);
    for (size_t i = 0; exit_status == STATUS_OK && i < options->cmk_count; i++)
        exit_status = uri_check(options, "cmk", options->cmks[i]);
    return exit_status;
}

/* The operands behind the verb.  A FILE of "-" is a standard stream, as is none. */
static void name_operands(const struct parser *parser, int words)
{
    struct options *options = parser->options;

    if (parser->operand_count > words)
        options->path = parser->operands[words];
    else if ((options->given & TAKES_VERIFY) != 0)
        options->path = "-";
    for (int i = words + 1; i < parser->operand_count && options->file_count < FILES_MAX; i++)
        options->files[options->file_count++] = parser->operands[i];
    if (parser->operand_count > words + 1 && strcmp(parser->operands[words + 1], "-") != 0)
        options->file = parser->operands[words + 1];
}

static int check_snapshot(const struct options *options)
{
    uint8_t uuid[ENVOL_UUID_BYTES];

    if (parse_uuid(options->snapshot, uuid))
        return STATUS_OK;
    return fail_usage(options, "--snapshot %s: not a UUID; envol snapshot list shows them",
                      options->snapshot);
}

static void print_version(void)
{
    printf("envol %s (AES: %s)\n", envol_version(), envol_kernel_name());
}

int options_parse(int argc, char **argv, const struct verb *verbs, size_t verb_count,
                  struct options *options, const struct verb **verb)
{
    struct parser parser = {.options = options};
    const struct verb *found;
    int words = 0;
    int exit_status = take_all(&parser, argc, argv);

    *verb = NULL;
    if (exit_status != STATUS_OK)
        return exit_status;
    found = find_verb(&parser, verbs, verb_count, &words);
    if (parser.version)
        print_version();
    else if (parser.help && found != NULL)
        print_verb_help(found);
    else if (parser.help)
        print_help(verbs, verb_count);
    if (parser.version || parser.help)
        return STATUS_OK;
    if (found == NULL)
        return refuse_verb(&parser);
    options->verb = found->name;
    name_operands(&parser, words);
    take_environment(found, options);
    exit_status = check(found, &parser, words);
    if (exit_status == STATUS_OK && options->snapshot != NULL)
        exit_status = check_snapshot(options);
    if (exit_status == STATUS_OK)
        *verb = found;
    return exit_status;
}

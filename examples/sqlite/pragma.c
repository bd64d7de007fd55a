/* SPDX-License-Identifier: BSD-2-Clause */
/* PRAGMAs: what can be asked of an encrypted database, and done with its keys. */
#include "header_change.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* SQLite's array: [0] takes the answer, or the error's text; [1] the name, [2] the value. */
static int answer(char **arguments, int code, char *text)
{
    arguments[0] = text;
    return text == NULL ? SQLITE_NOMEM : code;
}

static int answer_message(struct database *database, char **arguments)
{
    return answer(arguments, SQLITE_ERROR, sqlite3_mprintf("%s", database->message));
}

/* The keys are asked for, if they are not there: a CMK that was enabled again opens. */
static bool is_open(struct database *database, char **arguments, int *code)
{
    if (database_unlock(database) != SQLITE_OK)
        *code = answer_message(database, arguments);
    else if (database->keys == NULL)
        *code = answer(arguments, SQLITE_OK, sqlite3_mprintf("no database yet"));
    else
        return true;
    return false;
}

/* --- envol_status ---*/

static void add_uuid(sqlite3_str *text, const uint8_t uuid[ENVOL_UUID_BYTES])
{
    char name[ENVOL_UUID_TEXT_BYTES];

    sqlite3_str_appendf(text, "uuid %s", envol_uuid_format(uuid, name));
}

static void add_slots(sqlite3_str *text, const struct envol_header *header, uint32_t count)
{
    struct envol_slot slot = {.struct_size = sizeof slot};

    for (uint32_t i = 0; i < count && envol_header_slot(header, i, &slot) == ENVOL_OK; i++)
        sqlite3_str_appendf(text, "\nslot %u: %s %s%s%s", slot.id, slot.provider, slot.key_ref,
                            slot.key_version[0] != '\0' ? " version " : "", slot.key_version);
}

static int status_pragma(struct database *database, char **arguments)
{
    struct envol_header_info info = {.struct_size = sizeof info};
    struct envol_header *header;
    sqlite3_str *text;
    int code;

    if (!is_open(database, arguments, &code))
        return code;
    header = header_read(database, &info);
    if (header == NULL)
        return answer_message(database, arguments);
    text = sqlite3_str_new(NULL);
    add_uuid(text, info.uuid);
    sqlite3_str_appendf(text,
                        "\nsuite aes-256-gcm\npage_size %u\nepoch %u\nlowest_epoch %u\n"
                        "rotation %s\ngeneration %llu\nheader_copies %u of 2",
                        info.stride_bytes, info.epoch, info.lowest_epoch,
                        info.rotation != 0 ? "unfinished" : "none",
                        (unsigned long long)info.generation, info.whole_copies);
    add_slots(text, header, info.slots);
    envol_header_free(header);
    return answer(arguments, SQLITE_OK, sqlite3_str_finish(text));
}

/* --- envol_verify ---*/

enum { ATTEMPTS = 3, BAD_SHOWN = 100 };

/* A page that a checkpoint is just writing is not a bad one: it is looked at again. */
static bool is_sound(struct database *database, sqlite3_int64 page)
{
    static const struct timespec pause = {.tv_nsec = 2000000};
    sqlite3_file *below = database->file.below;
    uint32_t bytes = database->keys->page_bytes;
    enum envol_status status = ENVOL_E_CORRUPT;

    for (int i = 0; i < ATTEMPTS && status != ENVOL_OK && status != ENVOL_E_UNWRITTEN; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        if (below->pMethods->xRead(below, database->record, (int)bytes,
                                   DATA_OFFSET + page * bytes) == SQLITE_OK)
            status = envol_page_unseal(database->keys->pages, database->lane, (uint64_t)page,
                                       database->record, database->record);
    }
    return status == ENVOL_OK || status == ENVOL_E_UNWRITTEN;
}

static int verify_pragma(struct database *database, char **arguments)
{
    sqlite3_int64 size, pages, bad = 0;
    sqlite3_str *text;
    int code;

    if (!is_open(database, arguments, &code))
        return code;
    code = database->file.base.pMethods->xFileSize(&database->file.base, &size);
    if (code != SQLITE_OK)
        return code;
    text = sqlite3_str_new(NULL);
    pages = size / database->keys->page_bytes;
    for (sqlite3_int64 page = 0; page < pages; page++) {
        if (is_sound(database, page))
            continue;
        if (bad++ < BAD_SHOWN)
            sqlite3_str_appendf(text, "page %lld does not authenticate\n", page + 1);
    }
    if (size % database->keys->page_bytes != 0)
        sqlite3_str_appendf(text, "the file ends within a page\n");
    sqlite3_str_appendf(text, "%lld pages, %lld bad", pages, bad);
    return answer(arguments, SQLITE_OK, sqlite3_str_finish(text));
}

/* --- The others ---*/

static int rewrap_pragma(struct database *database, char **arguments)
{
    int code;

    if (arguments[2] == NULL)
        return answer(arguments, SQLITE_ERROR,
                      sqlite3_mprintf("of which CMK? PRAGMA envol_rewrap = 'URI'"));
    if (!is_open(database, arguments, &code))
        return code;
    if (header_rewrap(database, arguments[2]) != SQLITE_OK)
        return answer_message(database, arguments);
    return answer(arguments, SQLITE_OK, sqlite3_mprintf("ok"));
}

/* A new database takes any; one that is there keeps its own, as its header names it. */
static int page_size_pragma(struct database *database, char **arguments)
{
    if (arguments[2] == NULL || database_unlock(database) != SQLITE_OK || database->keys == NULL ||
        strtoul(arguments[2], NULL, 10) == database->keys->page_bytes)
        return SQLITE_NOTFOUND;
    return answer(arguments, SQLITE_ERROR,
                  sqlite3_mprintf("the page size of an encrypted database is fixed, at %u bytes: "
                                  "VACUUM INTO makes a copy with another",
                                  database->keys->page_bytes));
}

int database_pragma(struct database *database, char **arguments)
{
    static const struct {
        const char *name;
        int (*run)(struct database *database, char **arguments);
    } pragmas[] = {
        {"envol_status", status_pragma},
        {"envol_verify", verify_pragma},
        {"envol_rewrap", rewrap_pragma},
        {"page_size", page_size_pragma},
    };

    for (size_t i = 0; i < sizeof pragmas / sizeof pragmas[0]; i++) {
        if (sqlite3_stricmp(arguments[1], pragmas[i].name) == 0)
            return pragmas[i].run(database, arguments);
    }
    return SQLITE_NOTFOUND;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The ledger of envol info --ledger: which DEKs and CMKs the volume and its backups need. */
#include "command.h"

#include <inttypes.h>
#include <string.h>

static bool is_same(const struct envol_backup_cmk *cmk, const char *provider, const char *key_ref)
{
    return strcmp(cmk->provider, provider) == 0 && strcmp(cmk->key_ref, key_ref) == 0;
}

/* Slots are in the volume's own ledger. */
static bool is_slot(const struct envol_ledger *ledger, const struct envol_backup_cmk *cmk)
{
    for (uint32_t i = 0; i < ledger->slot_count; i++)
        if (is_same(cmk, ledger->slots[i].provider, ledger->slots[i].key_ref))
            return true;
    return false;
}

static void count_cmk(struct ledger *ledger, const struct envol_backup_cmk *cmk)
{
    struct ledger_cmk *at = ledger->cmks;

    while (at < ledger->cmks + ledger->cmk_count && !is_same(cmk, at->provider, at->key_ref))
        at++;
    if (at == ledger->cmks + LEDGER_CMKS_MAX) {
        ledger->has_more = true;
        return;
    }
    if (at == ledger->cmks + ledger->cmk_count) {
        snprintf(at->provider, sizeof at->provider, "%s", cmk->provider);
        snprintf(at->key_ref, sizeof at->key_ref, "%s", cmk->key_ref);
        ledger->cmk_count++;
    }
    at->backups++;
}

static int count_backup(void *ctx, const struct envol_backup_entry *entry)
{
    struct ledger *ledger = ctx;

    for (uint32_t i = 0; i < entry->cmk_count; i++)
        if (!is_slot(&ledger->volume, &entry->cmks[i]))
            count_cmk(ledger, &entry->cmks[i]);
    return 0;
}

enum envol_status ledger_take(struct ledger *ledger, struct envol_volume *volume,
                              struct envol_error *error)
{
    enum envol_status status;

    ledger->volume.struct_size = sizeof ledger->volume;
    status = envol_volume_ledger(volume, &ledger->volume, error);
    if (status == ENVOL_OK && ledger->volume.catalog == ENVOL_OK)
        status = envol_backup_list(volume, count_backup, ledger, error);
    return status;
}

static const char *may(int retire)
{
    return retire ? "may be retired" : "is needed";
}

static void print_backups(const struct ledger *ledger)
{
    if (ledger->volume.catalog != ENVOL_OK) {
        printf("ledger       the catalog of backups cannot be read: %s; every CMK is needed\n",
               envol_status_message(ledger->volume.catalog));
        return;
    }
    printf("ledger       %" PRIu32 " backups\n", ledger->volume.backups);
    for (uint32_t i = 0; i < ledger->cmk_count; i++) {
        fputs("ledger       ", stdout);
        print_text(stdout, ledger->cmks[i].key_ref);
        printf(", no slot, %" PRIu32 " backups; is needed\n", ledger->cmks[i].backups);
    }
    if (ledger->has_more)
        puts("ledger       and other CMKs of backups, which are needed: envol catalog list");
}

static void print_volume(const struct envol_ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->epoch_count; i++) {
        const struct envol_ledger_epoch *epoch = &ledger->epochs[i];
        printf("ledger       epoch %" PRIu32 "%s: %" PRIu64 " pages, %" PRIu64 " holes",
               epoch->epoch, epoch->retained ? "" : ", the current one", epoch->pages,
               epoch->holes);
        if (epoch->snapshots > 0)
            printf(", %" PRIu32 " snapshots", epoch->snapshots);
        if (epoch->raw_copies > 0)
            printf(", %" PRIu32 " raw copies", epoch->raw_copies);
        if (epoch->log_needs)
            fputs(", the log", stdout);
        if (epoch->catalog_needs && epoch->retained)
            fputs(", the catalog of backups", stdout);
        printf("; %s\n", may(epoch->may_retire));
    }
    printf("ledger       %" PRIu64 " pages, %" PRIu64 " unwritten, %" PRIu64 " bad", ledger->pages,
           ledger->unwritten, ledger->bad);
    if (ledger->bad > 0)
        printf(", the first of them page %" PRIu64, ledger->first_bad);
    putchar('\n');
    for (uint32_t i = 0; i < ledger->slot_count; i++) {
        const struct envol_ledger_slot *slot = &ledger->slots[i];
        printf("ledger       slot %" PRIu32 ", ", slot->id);
        print_text(stdout, slot->key_ref);
        if (slot->key_version[0] != '\0') {
            fputs(", version ", stdout);
            print_text(stdout, slot->key_version);
        }
        if (slot->backups > 0)
            printf(", %" PRIu32 " backups", slot->backups);
        printf("; %s\n", may(slot->may_retire));
    }
}

void ledger_print(const struct ledger *ledger)
{
    print_volume(&ledger->volume);
    print_backups(ledger);
}

static void print_json_epochs(const struct envol_ledger *ledger)
{
    fputs("    \"epochs\": [\n", stdout);
    for (uint32_t i = 0; i < ledger->epoch_count; i++) {
        const struct envol_ledger_epoch *epoch = &ledger->epochs[i];
        printf("      {\"epoch\": %" PRIu32 ", \"retained\": %s, \"pages\": %" PRIu64
               ", \"holes\": %" PRIu64 ", \"snapshots\": %" PRIu32 ", \"raw_copies\": %" PRIu32
               ", \"log\": %s, \"catalog\": %s, \"may_retire\": %s}%s\n",
               epoch->epoch, epoch->retained ? "true" : "false", epoch->pages, epoch->holes,
               epoch->snapshots, epoch->raw_copies, epoch->log_needs ? "true" : "false",
               epoch->catalog_needs ? "true" : "false", epoch->may_retire ? "true" : "false",
               i + 1 < ledger->epoch_count ? "," : "");
    }
    fputs("    ],\n", stdout);
}

static void print_json_slots(const struct envol_ledger *ledger)
{
    fputs("    \"slots\": [\n", stdout);
    for (uint32_t i = 0; i < ledger->slot_count; i++) {
        const struct envol_ledger_slot *slot = &ledger->slots[i];
        printf("      {\"id\": %" PRIu32 ", \"provider\": ", slot->id);
        print_json_string(slot->provider);
        fputs(", \"key_ref\": ", stdout);
        print_json_string(slot->key_ref);
        fputs(", \"key_version\": ", stdout);
        print_json_string(slot->key_version);
        printf(", \"backups\": %" PRIu32 ", \"may_retire\": %s}%s\n", slot->backups,
               slot->may_retire ? "true" : "false", i + 1 < ledger->slot_count ? "," : "");
    }
    fputs("    ]\n", stdout);
}

static void print_json_backups(const struct ledger *ledger)
{
    printf("    \"catalog\": \"%s\",\n    \"backups\": %" PRIu32 ",\n    \"backup_cmks\": [",
           envol_status_name(ledger->volume.catalog), ledger->volume.backups);
    for (uint32_t i = 0; i < ledger->cmk_count; i++) {
        fputs(i > 0 ? ",\n      {\"provider\": " : "\n      {\"provider\": ", stdout);
        print_json_string(ledger->cmks[i].provider);
        fputs(", \"key_ref\": ", stdout);
        print_json_string(ledger->cmks[i].key_ref);
        printf(", \"backups\": %" PRIu32 "}", ledger->cmks[i].backups);
    }
    puts(ledger->cmk_count > 0 ? "\n    ]," : "],");
}

void ledger_print_json(const struct ledger *taken)
{
    const struct envol_ledger *ledger = taken == NULL ? NULL : &taken->volume;

    fputs("  \"ledger\": ", stdout);
    if (ledger == NULL) {
        puts("null,");
        return;
    }
    printf("{\n    \"pages\": %" PRIu64 ",\n    \"unwritten\": %" PRIu64 ",\n    \"bad\": %" PRIu64
           ",\n    \"first_bad\": ",
           ledger->pages, ledger->unwritten, ledger->bad);
    if (ledger->bad > 0)
        printf("%" PRIu64 ",\n", ledger->first_bad);
    else
        puts("null,");
    print_json_epochs(ledger);
    print_json_backups(taken);
    print_json_slots(ledger);
    puts("  },");
}

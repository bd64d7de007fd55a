/* SPDX-License-Identifier: BSD-2-Clause */
/* The ledger of envol info --ledger: which DEKs and slots the volume needs. */
#include "command.h"

#include <inttypes.h>

static const char *may(int retire)
{
    return retire ? "may be retired" : "is needed";
}

void ledger_print(const struct envol_ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->epoch_count; i++) {
        const struct envol_ledger_epoch *epoch = &ledger->epochs[i];
        printf("ledger       epoch %" PRIu32 "%s: %" PRIu64 " pages, %" PRIu64 " holes",
               epoch->epoch, epoch->retained ? "" : ", the current one", epoch->pages,
               epoch->holes);
        if (epoch->snapshots > 0)
            printf(", %" PRIu32 " snapshots", epoch->snapshots);
        if (epoch->log_needs)
            fputs(", the log", stdout);
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
        printf("; %s\n", may(slot->may_retire));
    }
}

static void print_json_epochs(const struct envol_ledger *ledger)
{
    fputs("    \"epochs\": [\n", stdout);
    for (uint32_t i = 0; i < ledger->epoch_count; i++) {
        const struct envol_ledger_epoch *epoch = &ledger->epochs[i];
        printf("      {\"epoch\": %" PRIu32 ", \"retained\": %s, \"pages\": %" PRIu64
               ", \"holes\": %" PRIu64 ", \"snapshots\": %" PRIu32
               ", \"log\": %s, \"may_retire\": %s}%s\n",
               epoch->epoch, epoch->retained ? "true" : "false", epoch->pages, epoch->holes,
               epoch->snapshots, epoch->log_needs ? "true" : "false",
               epoch->may_retire ? "true" : "false", i + 1 < ledger->epoch_count ? "," : "");
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
        printf(", \"may_retire\": %s}%s\n", slot->may_retire ? "true" : "false",
               i + 1 < ledger->slot_count ? "," : "");
    }
    fputs("    ]\n", stdout);
}

void ledger_print_json(const struct envol_ledger *ledger)
{
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
    print_json_slots(ledger);
    puts("  },");
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Slots as the command shows them: out of an open volume, or out of a header that nobody verified.
 */
#include "command.h"

#include <inttypes.h>
#include <string.h>

const char *key_state_name(enum envol_key_state state)
{
    switch (state) {
    case ENVOL_KEY_ENABLED:
        return "enabled";
    case ENVOL_KEY_DISABLED:
        return "disabled";
    case ENVOL_KEY_PENDING_DELETION:
        break;
    }
    return "pending-deletion";
}

static void print_description(const struct envol_slot_info *slot)
{
    if (slot->described == ENVOL_E_NO_PROVIDER)
        return;
    if (slot->described != ENVOL_OK) {
        printf(", %s (%s)", envol_status_message(slot->described),
               envol_status_name(slot->described));
        return;
    }
    printf(", %s", key_state_name(slot->state));
    if (slot->outdated) {
        fputs(", rewrap it: the newest version is ", stdout);
        print_text(stdout, slot->newest_version);
    }
}

static void print_slot(const struct envol_slot_info *slot)
{
    char when[TIME_BYTES];

    printf("slot %-7" PRIu32 " ", slot->id);
    print_text(stdout, slot->provider);
    putchar(' ');
    print_text(stdout, slot->key_ref);
    if (slot->key_version[0] != '\0') {
        fputs(", version ", stdout);
        print_text(stdout, slot->key_version);
    }
    printf(", %zu bytes", slot->wrapped_bytes);
    if (format_time(slot->created_at_s, when))
        printf(", %s", when);
    print_description(slot);
    putchar('\n');
}

/* null where only the key service could tell. */
static void print_json_description(const struct envol_slot_info *slot)
{
    if (slot->described != ENVOL_OK) {
        fputs(
            ",\n      \"state\": null,\n      \"newest_version\": null,\n      \"outdated\": null",
            stdout);
        return;
    }
    printf(",\n      \"state\": \"%s\",\n      \"newest_version\": ", key_state_name(slot->state));
    print_json_string(slot->newest_version);
    printf(",\n      \"outdated\": %s", slot->outdated ? "true" : "false");
}

static void print_json_slot(const struct envol_slot_info *slot)
{
    char when[TIME_BYTES];

    printf("    {\n      \"id\": %" PRIu32 ",\n      \"provider\": ", slot->id);
    print_json_string(slot->provider);
    fputs(",\n      \"key_ref\": ", stdout);
    print_json_string(slot->key_ref);
    fputs(",\n      \"key_version\": ", stdout);
    print_json_string(slot->key_version);
    printf(",\n      \"wrapped_bytes\": %zu,\n      \"created_at_s\": %" PRIu64
           ",\n      \"created_at\": ",
           slot->wrapped_bytes, slot->created_at_s);
    if (format_time(slot->created_at_s, when))
        print_json_string(when);
    else
        fputs("null", stdout);
    print_json_description(slot);
    fputs("\n    }", stdout);
}

void slots_print(const struct slots *slots)
{
    for (size_t i = 0; i < slots->count; i++)
        print_slot(&slots->slot[i]);
}

void slots_print_json(const struct slots *slots)
{
    fputs("  \"slots\": [\n", stdout);
    for (size_t i = 0; i < slots->count; i++) {
        if (i > 0)
            fputs(",\n", stdout);
        print_json_slot(&slots->slot[i]);
    }
    fputs("\n  ]\n", stdout);
}

static void copy_text(char *to, size_t capacity, const char *from)
{
    snprintf(to, capacity, "%s", from);
}

void slots_of_header(struct slots *slots, const struct envol_header *header)
{
    struct envol_slot slot = {.struct_size = sizeof slot};

    *slots = (struct slots){.count = 0};
    while (slots->count < ENVOL_SLOTS_MAX &&
           envol_header_slot(header, (uint32_t)slots->count, &slot) == ENVOL_OK) {
        struct envol_slot_info *info = &slots->slot[slots->count++];
        info->id = slot.id;
        info->wrapped_bytes = slot.wrapped_bytes;
        info->created_at_s = slot.created_at_s;
        info->described = ENVOL_E_NO_PROVIDER;
        copy_text(info->provider, sizeof info->provider, slot.provider);
        copy_text(info->key_ref, sizeof info->key_ref, slot.key_ref);
        copy_text(info->key_version, sizeof info->key_version, slot.key_version);
    }
}

enum envol_status slots_of_volume(struct slots *slots, struct session *session,
                                  struct envol_error *error)
{
    const struct envol_volume_options how = {
        .struct_size = sizeof how,
        .cancel_flag = &cancel_flag,
    };

    slots->slot[0].struct_size = sizeof slots->slot[0];
    return envol_volume_slots(session->volume, session->cmks, session->cmk_count, &how, slots->slot,
                              ENVOL_SLOTS_MAX, &slots->count, error);
}

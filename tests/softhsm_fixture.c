/* SPDX-License-Identifier: BSD-2-Clause */
/* The fixture of the suites on SoftHSM 2, in builds that have PKCS#11. */
#if defined(ENVOL_WITH_PKCS11)
#include "softhsm_fixture.h"

#include "children.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SO_PIN "12345678"

struct softhsm_fixture softhsm;

/* Where Debian, Fedora and a build from source put it. */
static const char *find_module(void)
{
    static const char *const places[] = {
        "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/lib64/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (access(places[i], R_OK) == 0)
            return places[i];
    }
    ck_abort_msg("SoftHSM 2 is not installed: make deps");
    return NULL;
}

/* What a child has of the module. */
struct admin {
    CK_FUNCTION_LIST *functions;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
};

/* The child ends at the first refusal, and the test fails there. */
static void must(CK_RV answer, int line)
{
    if (answer == CKR_OK)
        return;
    fprintf(stderr, "%s:%d: SoftHSM answered 0x%lx\n", __FILE__, line, answer);
    _exit(1);
}
#define MUST(call) must((call), __LINE__)

static void load(struct admin *admin)
{
    void *module = dlopen(softhsm.module, RTLD_NOW | RTLD_LOCAL);
    CK_C_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};
    CK_C_GetFunctionList get;

    if (module == NULL)
        _exit(2);
    *(void **)&get = dlsym(module, "C_GetFunctionList");
    MUST(get(&admin->functions));
    /* What the fork copied would go on as the parent's. */
    admin->functions->C_Finalize(NULL);
    MUST(admin->functions->C_Initialize(&arguments));
}

/* The first slot: of the token, or of none yet. */
static void find_slot(struct admin *admin)
{
    CK_SLOT_ID slots[8];
    CK_ULONG count = 8;

    MUST(admin->functions->C_GetSlotList(CK_TRUE, slots, &count));
    if (count == 0)
        _exit(3);
    admin->slot = slots[0];
}

static void log_in(struct admin *admin, CK_USER_TYPE user, const char *pin)
{
    MUST(admin->functions->C_OpenSession(admin->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                                         NULL, &admin->session));
    MUST(admin->functions->C_Login(admin->session, user, (CK_UTF8CHAR_PTR)(uintptr_t)pin,
                                   strlen(pin)));
}

static int make_token(void *unused)
{
    unsigned char label[32];
    struct admin admin;

    (void)unused;
    load(&admin);
    find_slot(&admin);
    memset(label, ' ', sizeof(label));
    memcpy(label, SOFTHSM_LABEL, strlen(SOFTHSM_LABEL));
    MUST(admin.functions->C_InitToken(admin.slot, (CK_UTF8CHAR_PTR)(uintptr_t)SO_PIN,
                                      strlen(SO_PIN), label));
    find_slot(&admin);
    log_in(&admin, CKU_SO, SO_PIN);
    MUST(admin.functions->C_InitPIN(admin.session, (CK_UTF8CHAR_PTR)(uintptr_t)SOFTHSM_PIN,
                                    strlen(SOFTHSM_PIN)));
    MUST(admin.functions->C_Finalize(NULL));
    return 0;
}

static void begin_admin(struct admin *admin)
{
    load(admin);
    find_slot(admin);
    log_in(admin, CKU_USER, SOFTHSM_PIN);
}

static CK_OBJECT_HANDLE find_key(struct admin *admin, uint8_t id)
{
    CK_ATTRIBUTE wanted = {CKA_ID, &id, 1};
    CK_OBJECT_HANDLE key;
    CK_ULONG count;

    MUST(admin->functions->C_FindObjectsInit(admin->session, &wanted, 1));
    MUST(admin->functions->C_FindObjects(admin->session, &key, 1, &count));
    MUST(admin->functions->C_FindObjectsFinal(admin->session));
    if (count != 1)
        _exit(4);
    return key;
}

struct change {
    uint8_t id;
    CK_ULONG value_bytes;
    CK_BBOOL encrypts, decrypts;
    CK_ATTRIBUTE_TYPE attribute;
    CK_BBOOL value;
};

/* Of known value, so that a key that was destroyed can be restored, as from an HSM's backup. */
static int add_key(void *argument)
{
    struct change *change = argument;
    CK_OBJECT_CLASS kind = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE;
    uint8_t value[32];
    CK_ATTRIBUTE attributes[] = {
        {CKA_CLASS, &kind, sizeof(kind)},
        {CKA_KEY_TYPE, &type, sizeof(type)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)},
        {CKA_ID, &change->id, 1},
        {CKA_LABEL, (void *)(uintptr_t) "cmk", 3},
        {CKA_ENCRYPT, &change->encrypts, sizeof(CK_BBOOL)},
        {CKA_DECRYPT, &change->decrypts, sizeof(CK_BBOOL)},
        {CKA_VALUE, value, change->value_bytes},
    };
    CK_OBJECT_HANDLE key;
    struct admin admin;

    begin_admin(&admin);
    memset(value, change->id, sizeof(value));
    MUST(admin.functions->C_CreateObject(admin.session, attributes,
                                         sizeof(attributes) / sizeof(attributes[0]), &key));
    MUST(admin.functions->C_Finalize(NULL));
    return 0;
}

static int destroy_key(void *argument)
{
    const struct change *change = argument;
    struct admin admin;

    begin_admin(&admin);
    MUST(admin.functions->C_DestroyObject(admin.session, find_key(&admin, change->id)));
    MUST(admin.functions->C_Finalize(NULL));
    return 0;
}

static int set_attribute(void *argument)
{
    struct change *change = argument;
    CK_ATTRIBUTE attribute = {change->attribute, &change->value, sizeof(change->value)};
    struct admin admin;

    begin_admin(&admin);
    MUST(admin.functions->C_SetAttributeValue(admin.session, find_key(&admin, change->id),
                                              &attribute, 1));
    MUST(admin.functions->C_Finalize(NULL));
    return 0;
}

static void administer(int (*body)(void *), struct change *change)
{
    ck_assert_int_eq(test_in_child(body, change), 0);
}

void softhsm_add_key(uint8_t id, CK_ULONG value_bytes, CK_BBOOL encrypts, CK_BBOOL decrypts)
{
    administer(add_key, &(struct change){.id = id,
                                         .value_bytes = value_bytes,
                                         .encrypts = encrypts,
                                         .decrypts = decrypts});
}

void softhsm_destroy_key(uint8_t id)
{
    administer(destroy_key, &(struct change){.id = id});
}

void softhsm_set(uint8_t id, CK_ATTRIBUTE_TYPE attribute, CK_BBOOL value)
{
    administer(set_attribute, &(struct change){.id = id, .attribute = attribute, .value = value});
}

static enum envol_status give_pin(void *unused, const char *token, char *pin, size_t capacity,
                                  size_t *pin_bytes)
{
    (void)unused;
    ck_assert_str_eq(token, SOFTHSM_LABEL);
    ck_assert_uint_ge(capacity, strlen(SOFTHSM_PIN));
    *pin_bytes = strlen(SOFTHSM_PIN);
    memcpy(pin, SOFTHSM_PIN, *pin_bytes);
    return ENVOL_OK;
}

struct envol_provider *softhsm_open(const char *key)
{
    char uri[256];
    const struct envol_pkcs11_options options = {
        .struct_size = sizeof(options),
        .uri = uri,
        .module_path = softhsm.module,
        .pin = give_pin,
    };
    struct envol_provider *provider = NULL;

    snprintf(uri, sizeof(uri), "pkcs11:token=envol%%20test;%s", key);
    ck_ok(envol_pkcs11_provider_open(&options, &provider, &softhsm.error));
    return provider;
}

/* SoftHSM reads its configuration when it is initialised. */
static void configure(void)
{
    char tokens[PATH_MAX], path[PATH_MAX];
    FILE *file = fopen(test_path("softhsm2.conf"), "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(mkdir(test_path("tokens"), 0700), 0);
    ck_assert_ptr_nonnull(realpath(test_path("tokens"), tokens));
    fprintf(file, "directories.tokendir = %s\nlog.level = ERROR\n", tokens);
    fclose(file);
    ck_assert_ptr_nonnull(realpath(test_path("softhsm2.conf"), path));
    setenv("SOFTHSM2_CONF", path, 1);
}

static void set_up(void)
{
    softhsm = (struct softhsm_fixture){.error = ENVOL_ERROR_INIT, .module = find_module()};
    configure();
    administer(make_token, NULL);
    softhsm_add_key(1, 32, CK_TRUE, CK_TRUE);
    softhsm.provider = softhsm_open("id=%01");
}

static void tear_down(void)
{
    envol_provider_close(softhsm.provider);
}

TCase *softhsm_case(Suite *suite, const char *name)
{
    TCase *tests = tcase_create(name);

    tcase_add_checked_fixture(tests, set_up, tear_down);
    suite_add_tcase(suite, tests);
    return tests;
}
#endif

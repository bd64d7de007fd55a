/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PKCS#11 module for tests; see fake_pkcs11.h.  Its cipher is none: it XORs, and its tag is a sum
 * over key, IV, associated data and text, enough to tell one from another.
 */
#include "fake_pkcs11.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { TAG_BYTES = 16, IV_BYTES = 12, SESSIONS = 64 };

static struct fake_token token = {
    .tokens = 1,
    .pin = "1234",
    .pin_bytes = 4,
    .sessions_max = SESSIONS,
    .keys = 1,
    .type = CKK_AES,
    .value_bytes = 32,
    .encrypts = CK_TRUE,
    .decrypts = CK_TRUE,
    .id = {1, 2},
    .id_bytes = 2,
    .mismatch = CKR_ENCRYPTED_DATA_INVALID,
    .random = 0x5a,
};

/* An operation of each session; a session's handle is its index + 1. */
static struct operation {
    bool is_open;
    CK_SLOT_ID slot;
    bool encrypts, decrypts, finds;
    unsigned found;
    CK_GCM_PARAMS gcm;
} operations[SESSIONS];
static _Atomic int taken[SESSIONS];

__attribute__((visibility("default"))) struct fake_token *fake_pkcs11(void)
{
    return &token;
}

static CK_RV begin(enum fake_call call)
{
    int times = atomic_load(&token.refuse[call].times);

    token.calls[call]++;
    if (token.before != NULL)
        token.before(call);
    while (times > 0) {
        if (atomic_compare_exchange_weak(&token.refuse[call].times, &times, times - 1))
            return token.refuse[call].code;
    }
    return CKR_OK;
}

static CK_RV begin_in(enum fake_call call, CK_SESSION_HANDLE session, struct operation **operation)
{
    CK_RV answer = begin(call);

    if (answer != CKR_OK)
        return answer;
    if (token.initialised == 0)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    if (session < 1 || session > SESSIONS || !operations[session - 1].is_open)
        return CKR_SESSION_HANDLE_INVALID;
    *operation = &operations[session - 1];
    return CKR_OK;
}

static CK_RV initialize(void *arguments)
{
    const CK_C_INITIALIZE_ARGS *given = arguments;
    CK_RV answer = begin(FAKE_INITIALIZE);

    if (answer != CKR_OK)
        return answer;
    if (token.initialised == getpid())
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    token.initialised_with = given == NULL ? 0 : given->flags;
    token.initialised = getpid();
    token.logged_in = false;
    token.sessions = 0;
    memset(operations, 0, sizeof(operations));
    memset(taken, 0, sizeof(taken));
    return CKR_OK;
}

static CK_RV finalize(void *reserved)
{
    CK_RV answer = begin(FAKE_FINALIZE);

    (void)reserved;
    if (answer == CKR_OK && token.initialised == 0)
        answer = CKR_CRYPTOKI_NOT_INITIALIZED;
    if (answer == CKR_OK)
        token.initialised = 0;
    return answer;
}

static void pad(unsigned char *field, size_t width, const char *text)
{
    memset(field, ' ', width);
    memcpy(field, text, strlen(text));
}

static CK_RV get_info(CK_INFO_PTR info)
{
    memset(info, 0, sizeof(*info));
    info->cryptokiVersion = (CK_VERSION){2, 40};
    pad(info->manufacturerID, sizeof(info->manufacturerID), "libenvol");
    pad(info->libraryDescription, sizeof(info->libraryDescription), "fake");
    return CKR_OK;
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count)
{
    CK_RV answer = begin(FAKE_GET_SLOT_LIST);
    CK_ULONG room = *count;

    (void)present;
    if (answer != CKR_OK)
        return answer;
    if (token.initialised == 0)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    *count = token.tokens;
    if (slots == NULL)
        return CKR_OK;
    if (room < token.tokens)
        return CKR_BUFFER_TOO_SMALL;
    for (unsigned i = 0; i < token.tokens; i++)
        slots[i] = 40 + i;
    return CKR_OK;
}

static CK_RV get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
    if (slot < 40 || slot >= 40 + token.tokens)
        return CKR_SLOT_ID_INVALID;
    memset(info, 0, sizeof(*info));
    pad(info->slotDescription, sizeof(info->slotDescription), "fake slot");
    pad(info->manufacturerID, sizeof(info->manufacturerID), "libenvol");
    info->flags = CKF_TOKEN_PRESENT;
    return CKR_OK;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
    CK_RV answer = begin(FAKE_GET_TOKEN_INFO);
    char serial[] = "0001";

    if (answer != CKR_OK)
        return answer;
    if (slot < 40 || slot >= 40 + token.tokens)
        return CKR_SLOT_ID_INVALID;
    serial[3] = (char)('1' + slot - 40);
    memset(info, 0, sizeof(*info));
    pad(info->label, sizeof(info->label), "fake token");
    pad(info->manufacturerID, sizeof(info->manufacturerID), "libenvol");
    pad(info->model, sizeof(info->model), "fake");
    pad(info->serialNumber, sizeof(info->serialNumber), token.blank_serial ? "" : serial);
    info->flags = CKF_TOKEN_INITIALIZED | CKF_RNG;
    if (token.needs_login)
        info->flags |= CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED;
    if (token.keypad)
        info->flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    return CKR_OK;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                          CK_SESSION_HANDLE_PTR session)
{
    CK_RV answer = begin(FAKE_OPEN_SESSION);

    (void)application;
    (void)notify;
    if (answer != CKR_OK)
        return answer;
    if ((flags & CKF_SERIAL_SESSION) == 0)
        return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    if (atomic_fetch_add(&token.sessions, 1) >= token.sessions_max) {
        token.sessions--;
        return CKR_SESSION_COUNT;
    }
    for (unsigned i = 0; i < SESSIONS; i++) {
        int unused = 0;

        if (!atomic_compare_exchange_strong(&taken[i], &unused, 1))
            continue;
        operations[i] = (struct operation){.is_open = true, .slot = slot};
        *session = i + 1;
        return CKR_OK;
    }
    return CKR_SESSION_COUNT;
}

/* The login ends with the last session (PKCS#11 section 2.6.8). */
static CK_RV close_session(CK_SESSION_HANDLE session)
{
    struct operation *operation = NULL;
    CK_RV answer = begin_in(FAKE_CLOSE_SESSION, session, &operation);

    if (answer != CKR_OK)
        return answer;
    operation->is_open = false;
    atomic_store(&taken[session - 1], 0);
    if (atomic_fetch_sub(&token.sessions, 1) == 1)
        token.logged_in = false;
    return CKR_OK;
}

static CK_RV get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info)
{
    if (session < 1 || session > SESSIONS || !operations[session - 1].is_open)
        return CKR_SESSION_HANDLE_INVALID;
    memset(info, 0, sizeof(*info));
    info->slotID = operations[session - 1].slot;
    info->state = token.logged_in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
    info->flags = CKF_SERIAL_SESSION;
    return CKR_OK;
}

static bool is_right(CK_UTF8CHAR_PTR pin, CK_ULONG pin_bytes)
{
    size_t same = 0;

    if (token.keypad)
        return pin == NULL;
    if (pin == NULL || pin_bytes != token.pin_bytes)
        return false;
    while (same < pin_bytes && (pin[same] ^ token.pin_mask) == (uint8_t)token.pin[same])
        same++;
    return same == pin_bytes;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin,
                   CK_ULONG pin_bytes)
{
    struct operation *operation;
    CK_RV answer = begin_in(FAKE_LOGIN, session, &operation);

    if (answer != CKR_OK)
        return answer;
    if (user != CKU_USER)
        return CKR_USER_TYPE_INVALID;
    if (token.logged_in)
        return CKR_USER_ALREADY_LOGGED_IN;
    if (!is_right(pin, pin_bytes))
        return CKR_PIN_INCORRECT;
    token.logged_in = true;
    return CKR_OK;
}

/* Over what is written down for the test to read. */
static pthread_mutex_t notes = PTHREAD_MUTEX_INITIALIZER;

static void note_search(const CK_ATTRIBUTE *wanted, CK_ULONG count)
{
    pthread_mutex_lock(&notes);
    token.wanted_count = 0;
    for (CK_ULONG i = 0; i < count && i < 8; i++) {
        if (wanted[i].ulValueLen > sizeof(token.wanted_values[i]))
            continue;
        memcpy(token.wanted_values[i], wanted[i].pValue, wanted[i].ulValueLen);
        token.wanted[i] =
            (CK_ATTRIBUTE){wanted[i].type, token.wanted_values[i], wanted[i].ulValueLen};
        token.wanted_count++;
    }
    pthread_mutex_unlock(&notes);
}

static CK_RV find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR wanted, CK_ULONG count)
{
    struct operation *operation;
    CK_RV answer = begin_in(FAKE_FIND_INIT, session, &operation);

    if (answer != CKR_OK)
        return answer;
    note_search(wanted, count);
    operation->finds = true;
    operation->found = 0;
    return CKR_OK;
}

/* Private objects are not shown before a login. */
static CK_RV find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG room,
                  CK_ULONG_PTR count)
{
    struct operation *operation;
    CK_RV answer = begin_in(FAKE_FIND, session, &operation);
    unsigned keys = token.needs_login && !token.logged_in ? 0 : token.keys;

    *count = 0;
    if (answer != CKR_OK)
        return answer;
    if (!operation->finds)
        return CKR_OPERATION_NOT_INITIALIZED;
    while (*count < room && operation->found < keys)
        objects[(*count)++] = 100 + operation->found++;
    return CKR_OK;
}

static CK_RV find_final(CK_SESSION_HANDLE session)
{
    if (session < 1 || session > SESSIONS || !operations[session - 1].finds)
        return CKR_OPERATION_NOT_INITIALIZED;
    operations[session - 1].finds = false;
    return CKR_OK;
}

static CK_RV give(CK_ATTRIBUTE *attribute, const void *value, CK_ULONG bytes)
{
    if (attribute->ulValueLen < bytes) {
        attribute->ulValueLen = (CK_ULONG)-1;
        return CKR_BUFFER_TOO_SMALL;
    }
    memcpy(attribute->pValue, value, bytes);
    attribute->ulValueLen = bytes;
    return CKR_OK;
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                 CK_ATTRIBUTE_PTR attribute, CK_ULONG count)
{
    struct operation *operation;
    CK_RV answer = begin_in(FAKE_GET_ATTRIBUTE, session, &operation);

    if (answer != CKR_OK)
        return answer;
    if (object < 100 || object >= 100 + token.keys)
        return CKR_OBJECT_HANDLE_INVALID;
    if (count != 1)
        return CKR_ARGUMENTS_BAD;
    switch (attribute->type) {
    case CKA_KEY_TYPE:
        return give(attribute, &token.type, sizeof(token.type));
    case CKA_ENCRYPT:
        return give(attribute, &token.encrypts, sizeof(token.encrypts));
    case CKA_DECRYPT:
        return give(attribute, &token.decrypts, sizeof(token.decrypts));
    case CKA_ID:
        return give(attribute, token.id, token.id_bytes);
    case CKA_LABEL:
        return give(attribute, "a key", 5);
    case CKA_VALUE_LEN:
        if (token.value_bytes != 0)
            return give(attribute, &token.value_bytes, sizeof(token.value_bytes));
        break;
    default:
        break;
    }
    attribute->ulValueLen = (CK_ULONG)-1;
    return CKR_ATTRIBUTE_TYPE_INVALID;
}

static CK_RV generate_random(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG bytes)
{
    struct operation *operation;
    CK_RV answer = begin_in(FAKE_RANDOM, session, &operation);

    if (answer == CKR_OK)
        memset(out, token.random, bytes);
    return answer;
}

static CK_RV take_mechanism(const CK_MECHANISM *mechanism, struct operation *operation)
{
    const CK_GCM_PARAMS *gcm = mechanism->pParameter;

    if (mechanism->mechanism != CKM_AES_GCM)
        return CKR_MECHANISM_INVALID;
    if (mechanism->ulParameterLen != sizeof(*gcm) || gcm->ulIvLen != IV_BYTES ||
        gcm->ulIvBits != 8 * IV_BYTES || gcm->ulTagBits != 8 * TAG_BYTES)
        return CKR_ARGUMENTS_BAD;
    operation->gcm = *gcm;
    pthread_mutex_lock(&notes);
    token.gcm = *gcm;
    pthread_mutex_unlock(&notes);
    return CKR_OK;
}

static bool is_zero(const unsigned char *bytes, size_t count)
{
    while (count > 0 && bytes[count - 1] == 0)
        count--;
    return count == 0;
}

static CK_RV encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                          CK_OBJECT_HANDLE key)
{
    struct operation *operation;
    CK_RV answer = begin_in(FAKE_ENCRYPT_INIT, session, &operation);

    (void)key;
    if (answer == CKR_OK)
        answer = take_mechanism(mechanism, operation);
    if (answer != CKR_OK)
        return answer;
    if (operation->encrypts)
        return CKR_OPERATION_ACTIVE;
    if ((token.own_iv || token.zero_iv) && !is_zero(operation->gcm.pIv, IV_BYTES))
        return CKR_MECHANISM_PARAM_INVALID;
    operation->encrypts = true;
    return CKR_OK;
}

/* 64-bit FNV-1a, twice. */
static void make_tag(const CK_GCM_PARAMS *gcm, const unsigned char *text, size_t bytes,
                     unsigned char tag[TAG_BYTES])
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < IV_BYTES; i++)
        sum = (sum ^ gcm->pIv[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < gcm->ulAADLen; i++)
        sum = (sum ^ gcm->pAAD[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < bytes; i++)
        sum = (sum ^ text[i]) * UINT64_C(0x100000001b3);
    memcpy(tag, &sum, sizeof(sum));
    sum *= UINT64_C(0x100000001b3);
    memcpy(tag + sizeof(sum), &sum, sizeof(sum));
}

static bool end(bool *operation)
{
    bool was_active = *operation;

    *operation = false;
    return was_active;
}

static CK_RV encrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR text, CK_ULONG bytes, CK_BYTE_PTR out,
                     CK_ULONG_PTR out_bytes)
{
    struct operation *operation;
    CK_RV answer = begin_in(FAKE_ENCRYPT, session, &operation);

    /* A failure ends the operation too (PKCS#11 section 5.2). */
    if (!end(&operations[(session - 1) % SESSIONS].encrypts) && answer == CKR_OK)
        answer = CKR_OPERATION_NOT_INITIALIZED;
    if (answer != CKR_OK)
        return answer;
    if (*out_bytes < bytes + TAG_BYTES)
        return CKR_BUFFER_TOO_SMALL;
    if (token.own_iv)
        memset(operation->gcm.pIv, 0x77, IV_BYTES);
    make_tag(&operation->gcm, text, bytes, out + bytes);
    for (CK_ULONG i = 0; i < bytes; i++)
        out[i] = text[i] ^ 0xa5;
    *out_bytes = bytes + TAG_BYTES + (token.appends_iv ? 16 : 0);
    return CKR_OK;
}

static CK_RV decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                          CK_OBJECT_HANDLE key)
{
    struct operation *operation;
    CK_RV answer = begin_in(FAKE_DECRYPT_INIT, session, &operation);

    (void)key;
    if (answer == CKR_OK)
        answer = take_mechanism(mechanism, operation);
    if (answer == CKR_OK && operation->decrypts)
        answer = CKR_OPERATION_ACTIVE;
    if (answer == CKR_OK)
        operation->decrypts = true;
    return answer;
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR sealed, CK_ULONG bytes, CK_BYTE_PTR out,
                     CK_ULONG_PTR out_bytes)
{
    unsigned char tag[TAG_BYTES];
    struct operation *operation;
    CK_RV answer = begin_in(FAKE_DECRYPT, session, &operation);

    if (!end(&operations[(session - 1) % SESSIONS].decrypts) && answer == CKR_OK)
        answer = CKR_OPERATION_NOT_INITIALIZED;
    if (answer != CKR_OK)
        return answer;
    atomic_store(&token.decrypt_room, *out_bytes);
    if (bytes < TAG_BYTES || *out_bytes < bytes)
        return bytes < TAG_BYTES ? CKR_ENCRYPTED_DATA_LEN_RANGE : CKR_BUFFER_TOO_SMALL;
    *out_bytes = bytes - TAG_BYTES;
    for (CK_ULONG i = 0; i < *out_bytes; i++)
        out[i] = sealed[i] ^ 0xa5;
    make_tag(&operation->gcm, out, *out_bytes, tag);
    return memcmp(tag, sealed + *out_bytes, TAG_BYTES) == 0 ? CKR_OK : token.mismatch;
}

static CK_FUNCTION_LIST functions = {
    .version = {2, 40},
    .C_Initialize = initialize,
    .C_Finalize = finalize,
    .C_GetInfo = get_info,
    .C_GetSlotList = get_slot_list,
    .C_GetSlotInfo = get_slot_info,
    .C_GetTokenInfo = get_token_info,
    .C_OpenSession = open_session,
    .C_CloseSession = close_session,
    .C_GetSessionInfo = get_session_info,
    .C_Login = login,
    .C_FindObjectsInit = find_init,
    .C_FindObjects = find,
    .C_FindObjectsFinal = find_final,
    .C_GetAttributeValue = get_attribute_value,
    .C_GenerateRandom = generate_random,
    .C_EncryptInit = encrypt_init,
    .C_Encrypt = encrypt,
    .C_DecryptInit = decrypt_init,
    .C_Decrypt = decrypt,
};

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    *list = &functions;
    return CKR_OK;
}

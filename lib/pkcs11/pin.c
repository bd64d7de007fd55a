/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PIN: from a file, the URI itself, or the callback; in a buffer that is wiped, for as long as
 * a login takes.  Tokens lock themselves after a few wrong ones, so one that was refused is not
 * given to the token again.
 */
#include "pkcs11/pkcs11.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct pin {
    char text[ENVOL_PKCS11_PIN_MAX + 1]; /* one more: a file that is too long shows */
    size_t bytes;
};

static enum envol_status ask(struct envol_pkcs11_call *call,
                             const struct envol_pkcs11_session *session, struct pin *pin)
{
    const struct envol_pkcs11 *state = call->state;
    enum envol_status status =
        state->pin(state->pin_ctx, session->token, pin->text, ENVOL_PKCS11_PIN_MAX, &pin->bytes);

    if (status != ENVOL_OK)
        return envol_pkcs11_fail(call->error, status, "no PIN for token %s", session->token);
    if (pin->bytes > ENVOL_PKCS11_PIN_MAX)
        return envol_pkcs11_fail(call->error, ENVOL_E_CREDENTIALS, "the PIN is too long");
    return ENVOL_OK;
}

/* The same rule as for key files: regular, the effective user's or root's, closed to others. */
static const char *file_fault(int fd)
{
    struct stat about;

    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        return "not a regular file";
    if (about.st_uid != geteuid() && about.st_uid != 0)
        return "belongs to another user";
    if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return "open to group or others; chmod 600 it";
    return NULL;
}

static bool read_all(int fd, struct pin *pin)
{
    while (pin->bytes < sizeof(pin->text)) {
        ssize_t got = read(fd, pin->text + pin->bytes, sizeof(pin->text) - pin->bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        pin->bytes += (size_t)got;
    }
    return true;
}

/* Editors end a file with a newline that is no part of the PIN. */
static void drop_newline(struct pin *pin)
{
    if (pin->bytes > 0 && pin->text[pin->bytes - 1] == '\n')
        pin->bytes--;
    if (pin->bytes > 0 && pin->text[pin->bytes - 1] == '\r')
        pin->bytes--;
}

static enum envol_status read_file(struct envol_pkcs11_call *call, const char *source,
                                   struct pin *pin)
{
    const char *path = source[0] == '/' ? source : source + strlen("file:");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *fault;

    if (fd < 0)
        return envol_pkcs11_fail(call->error, ENVOL_E_CREDENTIALS, "PIN file %s: %s", path,
                                 errno == ENOENT ? "there is none" : "cannot be opened");
    fault = file_fault(fd);
    if (fault == NULL && !read_all(fd, pin))
        fault = "cannot be read";
    close(fd);
    drop_newline(pin);
    if (fault == NULL && pin->bytes > ENVOL_PKCS11_PIN_MAX)
        fault = "too long for a PIN";
    if (fault == NULL && pin->bytes == 0)
        fault = "empty";
    if (fault != NULL)
        return envol_pkcs11_fail(call->error, ENVOL_E_CREDENTIALS, "PIN file %s: %s", path, fault);
    return ENVOL_OK;
}

static enum envol_status copy_value(struct envol_pkcs11_call *call, const char *value,
                                    struct pin *pin)
{
    pin->bytes = strnlen(value, sizeof(pin->text));
    if (pin->bytes > ENVOL_PKCS11_PIN_MAX)
        return envol_pkcs11_fail(call->error, ENVOL_E_CREDENTIALS, "pin-value: too long");
    memcpy(pin->text, value, pin->bytes);
    return ENVOL_OK;
}

static enum envol_status get(struct envol_pkcs11_call *call,
                             const struct envol_pkcs11_session *session, struct pin *pin)
{
    const struct envol_pkcs11 *state = call->state;
    const char *source = p11_kit_uri_get_pin_source(state->uri);
    const char *value = p11_kit_uri_get_pin_value(state->uri);

    if (source != NULL)
        return read_file(call, source, pin);
    if (value != NULL)
        return copy_value(call, value, pin);
    if (state->pin != NULL)
        return ask(call, session, pin);
    return envol_pkcs11_fail(call->error, ENVOL_E_CREDENTIALS, "token %s: no PIN was given",
                             session->token);
}

static void hash(const struct envol_pkcs11 *state, const struct pin *pin,
                 uint8_t out[crypto_generichash_BYTES])
{
    crypto_generichash(out, crypto_generichash_BYTES, (const uint8_t *)pin->text, pin->bytes,
                       state->refused_key, sizeof(state->refused_key));
}

static bool was_refused(const struct envol_pkcs11 *state, const struct pin *pin)
{
    uint8_t here[crypto_generichash_BYTES];
    bool same;

    hash(state, pin, here);
    same = state->pin_refused && sodium_memcmp(here, state->refused_hash, sizeof(here)) == 0;
    sodium_memzero(here, sizeof(here));
    return same;
}

static void remember(struct envol_pkcs11 *state, const struct pin *pin, CK_RV answer)
{
    bool refused =
        answer == CKR_PIN_INCORRECT || answer == CKR_PIN_INVALID || answer == CKR_PIN_LEN_RANGE;

    if (refused)
        hash(state, pin, state->refused_hash);
    state->pin_refused = refused || (state->pin_refused && answer != CKR_OK);
}

/* Another thread, or another library in this process, may have logged in meanwhile. */
static enum envol_status judge(struct envol_pkcs11_call *call, CK_RV answer)
{
    if (answer == CKR_OK || answer == CKR_USER_ALREADY_LOGGED_IN)
        return ENVOL_OK;
    return envol_pkcs11_refuse(call, "C_Login", answer);
}

enum envol_status envol_pkcs11_login(struct envol_pkcs11_call *call,
                                     const struct envol_pkcs11_session *session,
                                     const CK_TOKEN_INFO *token)
{
    struct envol_pkcs11 *state = call->state;
    struct pin pin = {.bytes = 0};
    enum envol_status status;
    CK_RV answer;

    /* The token asks on its own keypad. */
    if ((token->flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0)
        return judge(call, session->functions->C_Login(session->handle, CKU_USER, NULL, 0));
    status = get(call, session, &pin);
    if (status != ENVOL_OK)
        goto out;
    if (was_refused(state, &pin)) {
        status = envol_pkcs11_fail(call->error, ENVOL_E_CREDENTIALS,
                                   "token %s refused this PIN before: it is not tried again",
                                   session->token);
        goto out;
    }
    answer = session->functions->C_Login(session->handle, CKU_USER, (CK_UTF8CHAR_PTR)pin.text,
                                         pin.bytes);
    remember(state, &pin, answer);
    status = judge(call, answer);
out:
    sodium_memzero(&pin, sizeof(pin));
    return status;
}

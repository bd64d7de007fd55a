/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets of two families behind one address. */
#include "net.h"
#include "say.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

bool net_is_address(const char *address)
{
    const char *colon = strrchr(address, ':');

    if (strncmp(address, "unix:", 5) == 0)
        return address[5] != '\0' && strlen(address + 5) < PATH_BYTES;
    return strncmp(address, "tcp:", 4) == 0 && colon > address + 4 && colon[1] != '\0';
}

/* What bind and connect want of a path. */
static void resolve_unix(const char *path, struct addrinfo *found, struct sockaddr_un *where)
{
    *where = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(where->sun_path, path, strlen(path));
    *found = (struct addrinfo){.ai_family = AF_UNIX,
                               .ai_socktype = SOCK_STREAM,
                               .ai_addr = (struct sockaddr *)where,
                               .ai_addrlen = sizeof *where};
}

static enum envol_status resolve_tcp(const char *address, int flags, struct addrinfo **found,
                                     struct envol_error *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    const char *colon = strrchr(address, ':');
    char *host = strndup(address, (size_t)(colon - address));
    int failure;

    if (host == NULL)
        return fail(error, ENVOL_E_NO_MEMORY, "an address");
    failure = getaddrinfo(host, colon + 1, &hints, found);
    free(host);
    return failure == 0
               ? ENVOL_OK
               : fail(error, ENVOL_E_UNREACHABLE, "%.100s: %s", address, gai_strerror(failure));
}

/* Sockets that nobody answers do not hold a thread for ever. */
static int open_socket(int family)
{
    const struct timeval limit = {.tv_sec = NET_TIMEOUT_MS / 1000};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    return fd;
}

typedef int use_address(int fd, const struct addrinfo *found);

/* Whoever may connect can make the primary ask its key service: a file of mode 0600. */
static int listen_at(int fd, const struct addrinfo *found)
{
    const int on = 1;
    mode_t mask;
    int bound;

    if (found->ai_family == AF_UNIX)
        unlink(((const struct sockaddr_un *)(const void *)found->ai_addr)->sun_path);
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    mask = umask(0177);
    bound = bind(fd, found->ai_addr, found->ai_addrlen);
    umask(mask);
    return bound == 0 ? listen(fd, 8) : -1;
}

static int connect_to(int fd, const struct addrinfo *found)
{
    return connect(fd, found->ai_addr, found->ai_addrlen);
}

/* Of an address that looks like one. */
static enum envol_status open_at(const char *address, int flags, use_address *use, int *fd,
                                 struct envol_error *error)
{
    struct addrinfo local, *found = &local, *resolved = NULL;
    struct sockaddr_un where;
    enum envol_status status = ENVOL_OK;

    *fd = -1;
    if (strncmp(address, "unix:", 5) == 0) {
        resolve_unix(address + 5, &local, &where);
    } else {
        status = resolve_tcp(address + 4, flags, &resolved, error);
        found = resolved;
    }
    if (status != ENVOL_OK)
        return status;
    *fd = open_socket(found->ai_family);
    if (*fd < 0 || use(*fd, found) != 0) {
        status = fail(error, ENVOL_E_IO, "%.200s", address);
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
    }
    if (resolved != NULL)
        freeaddrinfo(resolved);
    return status;
}

static void say_where(const char *address, int fd)
{
    struct sockaddr_storage where;
    socklen_t length = sizeof where;
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (getsockname(fd, (struct sockaddr *)&where, &length) == 0 && where.ss_family != AF_UNIX &&
        getnameinfo((struct sockaddr *)&where, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        say("listening at tcp:%s:%s", host, port);
    else
        say("listening at %s", address);
}

enum envol_status net_listen(const char *address, int *fd, struct envol_error *error)
{
    enum envol_status status = open_at(address, AI_PASSIVE, listen_at, fd, error);

    if (status == ENVOL_OK)
        say_where(address, *fd);
    return status;
}

enum envol_status net_connect(const char *address, int *fd, struct envol_error *error)
{
    return open_at(address, 0, connect_to, fd, error);
}

bool net_has_input(int fd, unsigned wait_ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, (int)wait_ms) > 0;
}

/* Time-outs are not inherited from the listener everywhere. */
enum envol_status net_accept(int listener, unsigned wait_ms, int *fd, struct envol_error *error)
{
    const struct timeval limit = {.tv_sec = NET_TIMEOUT_MS / 1000};

    *fd = -1;
    if (!net_has_input(listener, wait_ms))
        return ENVOL_E_TIMEOUT;
    *fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (*fd < 0)
        return fail(error, ENVOL_E_IO, "accepting a connection");
    setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return ENVOL_OK;
}

static enum envol_status tell(struct envol_error *error)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return fail(error, ENVOL_E_TIMEOUT, "the other side is silent");
    if (errno == EPIPE || errno == ECONNRESET)
        return fail(error, ENVOL_E_TRUNCATED, "the other side has gone");
    return fail(error, ENVOL_E_IO, "the connection");
}

enum envol_status net_send(int fd, const void *bytes, size_t count, struct envol_error *error)
{
    const char *from = bytes;
    ssize_t sent;

    for (; count > 0; from += sent, count -= (size_t)sent) {
        do
            sent = send(fd, from, count, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent < 0)
            return tell(error);
    }
    return ENVOL_OK;
}

enum envol_status net_receive(int fd, void *bytes, size_t count, struct envol_error *error)
{
    char *to = bytes;
    ssize_t got;

    for (; count > 0; to += got, count -= (size_t)got) {
        do
            got = recv(fd, to, count, 0);
        while (got < 0 && errno == EINTR);
        if (got == 0)
            return fail(error, ENVOL_E_TRUNCATED, "the other side has gone");
        if (got < 0)
            return tell(error);
    }
    return ENVOL_OK;
}

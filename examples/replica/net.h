/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets: "unix:PATH" or "tcp:HOST:PORT"; whole reads and writes that give up after a while. */
#ifndef REPLICA_NET_H
#define REPLICA_NET_H

#include <envol.h>
#include <stdbool.h>

/* So long may the other side be silent, or not take what it is sent. */
enum { NET_TIMEOUT_MS = 10000 };

/* Whether it looks like one. */
bool net_is_address(const char *address);

/* *fd is -1 on failure.  A listener says where it listens: port 0 becomes a free one. */
enum envol_status net_listen(const char *address, int *fd, struct envol_error *error);
enum envol_status net_connect(const char *address, int *fd, struct envol_error *error);
/* ENVOL_E_TIMEOUT: nobody came in that time. */
enum envol_status net_accept(int listener, unsigned wait_ms, int *fd, struct envol_error *error);

/* ENVOL_E_TRUNCATED: the other side has gone; ENVOL_E_TIMEOUT, ENVOL_E_IO. */
enum envol_status net_send(int fd, const void *bytes, size_t count, struct envol_error *error);
enum envol_status net_receive(int fd, void *bytes, size_t count, struct envol_error *error);
/* Something has come, be it the end. */
bool net_has_input(int fd, unsigned wait_ms);

#endif

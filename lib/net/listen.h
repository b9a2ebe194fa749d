/* Listening sockets, and the event that accepts from them. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "lib/base/err.h"

struct address;
struct buf;
struct listener;
struct loop;

enum { LISTEN_BACKLOG = 4096, LISTEN_ACCEPTS_PER_TURN = 64 };

/* A bound and listening socket. TCP sockets have SO_REUSEPORT, so that each worker
 * may have its own; unless `again` (the same process has one there already) it is made sure that
 * no other process listens there. A Unix socket's file is replaced when nobody
 * accepts on it any more, and gets `mode`. On error -1, and *why names the address
 * and the remedy. */
int listen_socket(const struct address *a, bool again, int mode, struct buf *why);

/* `accepted` owns the descriptor: non-blocking, TCP_NODELAY, keepalive 30/10/3 s. */
typedef void (*accepted_fn)(void *user, int fd, const struct sockaddr_storage *peer);
/* Takes over `fd`. Out of descriptors, it pauses for a moment instead of spinning. */
enum err listener_open(struct loop *l, int fd, accepted_fn accepted, void *user,
                       struct listener **out) MUST_CHECK;
/* `accepted` is called with another `user` from now on. */
void listener_redirect(struct listener *li, void *user);
/* Closes the socket. Accepts NULL; returns NULL. */
struct listener *listener_free(struct listener *li);
/* The same, after those that have connected already were accepted: closing a socket of several
 * with SO_REUSEPORT resets what waits in it. */
struct listener *listener_finish(struct listener *li);

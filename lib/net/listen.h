/* Listening sockets, and the event that accepts from them. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "lib/base/err.h"

struct address;
struct buf;
struct listener;
struct loop;

enum {
  LISTEN_BACKLOG = 4096,
  LISTEN_ACCEPTS_PER_TURN = 64,
  /* Of a connection's output, what the kernel keeps and has not sent yet: without that it takes
   * megabytes from us for a client that reads nothing. */
  LISTEN_UNSENT_BYTES = 128 * 1024,
};

/* A bound and listening socket; `later`: a TCP socket that is bound only, since others listen there
 * whose connections it would get a share of (see listen_begin). TCP sockets have SO_REUSEPORT, so
 * that each worker may have its own; unless `again` (the same process has one there already) it is
 * made sure that no other process listens there. A Unix socket's file is replaced when nobody
 * accepts on it any more, and gets `mode`. On error -1, and *why names the address
 * and the remedy. */
int listen_socket(const struct address *a, bool again, bool later, int mode, struct buf *why);
/* Harmless for one that listens already. */
void listen_begin(int fd);

struct listener_events {
  /* Owns the descriptor: non-blocking, TCP_NODELAY, LISTEN_UNSENT_BYTES, keepalive 30/10/3 s. */
  void (*accepted)(void *user, int fd, const struct sockaddr_storage *peer);
  /* No more is let in until there are descriptors again. */
  void (*paused)(void *user);
};

/* Takes over `fd`. When the descriptors for clients are used up (lib/base/descriptors.h), nobody is
 * accepted any more and no time is spent on it: it is looked 10 times a second whether there are
 * some again. Who connects meanwhile waits in the socket's queue. */
enum err listener_open(struct loop *l, int fd, const struct listener_events *events, void *user,
                       struct listener **out) MUST_CHECK;
/* The events are told to another `user` from now on. */
void listener_redirect(struct listener *li, void *user);
/* Closes the socket. Accepts NULL; returns NULL. */
struct listener *listener_free(struct listener *li);
/* The same, after those that have connected already were accepted: closing a socket of several
 * with SO_REUSEPORT resets what waits in it. */
struct listener *listener_finish(struct listener *li);

#ifndef ENGINE_CONN_H
#define ENGINE_CONN_H

#include "buf.h"
#include "engine.h"
#include "request.h"
#include "timer.h"

/* A client's connection. It is registered with epoll once, edge-triggered for everything, so a
 * request costs one read, one write and a share of an epoll_wait. Closed connections are kept
 * until the end of the turn, since events of the same turn may still point at them. */

enum {
  CONN_READ_BYTES = 4 * 1024,
  CONN_READ_BODY_BYTES = 64 * 1024,
  CONN_TURN_MAX_BYTES = 1024 * 1024, /* then others get their turn */
  CONN_OUT_MAX_BYTES = 256 * 1024,   /* unread by the client; then we wait for it */
  CONN_KEEP_BYTES = 64 * 1024,       /* of a buffer, between two requests */
  CONN_LINGER_MS = 1000,
};

enum conn_state {
  CONN_HEAD,   /* idle, or part of a head has come */
  CONN_BODY,   /* a body is being read */
  CONN_ANSWER, /* nothing is read until the answer is written */
  CONN_LINGER, /* refused; what still comes is thrown away */
  CONN_CLOSED,
};

struct conn {
  struct source source;
  struct timer timer;
  struct conn *prev, *next; /* all connections; once closed, the spent ones */
  int fd;
  enum conn_state state;
  bool readable, hung_up;
  uint64_t idle_until_us, turn_bytes;
  struct buf in, out, body; /* body: of the answer, while it is made */
  struct request req;
};

void conn_open(int fd);
/* Writes what it can. What follows may be the request's end or the connection's. */
void conn_flush(struct conn *c);
/* Closes now. An open request is dropped, and logged as `event`. */
void conn_close(struct conn *c, const char *event);
/* Writes what is left, and throws away what still comes, so that the client sees the answer. */
void conn_linger(struct conn *c);
void conn_drain_all(void);
void conn_reap(void);
void conn_free_all(void);
bool conn_any(void);

#endif

/* Connections to replicas: one request at a time each, kept alive between them.
 *
 * Idle ones wait in a list per worker and replica, the latest used first, and are
 * closed after replica_idle_s, before servers do it themselves. A connection holds
 * a reference of its replica. */
#pragma once

#include <stdbool.h>

#include "lib/base/list.h"
#include "lib/base/stash.h"
#include "lib/http/http1.h"
#include "lib/net/deadline.h"
#include "lib/net/transport.h"

struct replica;
struct request;
struct worker;

struct replica_connection {
  struct transport transport;
  struct worker *worker;
  struct replica *replica;
  struct request *request;  /* NULL while idle */
  struct list node;         /* in replica->idle */
  struct list worker_node;  /* in worker->replica_links, while open */
  struct deadline deadline; /* connecting, waiting for a head, idle, or a tunnel that stalls */
  struct post free_post;
  /* the answer being read; see http1.c */
  struct http1_body body;
  struct stash stash; /* bytes of an incomplete head or trailer line */
  size_t scanned;
  bool connected, closed;
  bool used;           /* has served a request before this one */
  bool heard;          /* bytes of this answer have come */
  bool head_seen;      /* the final head has come */
  bool reusable;       /* as far as the answer's head says */
  bool sent;           /* the whole request has been given to the transport */
  bool chunked;        /* how the request's body is sent */
  bool tunnel;         /* past its 101: cut before its end it is reset */
  uint64_t stall_mark; /* transport.bytes_out when the deadline was set for a tunnel */
};

enum {
  REPLICA_HEAD_BYTES_MAX = 64 * 1024,
  REPLICA_STASH_BYTES_MAX = REPLICA_HEAD_BYTES_MAX + 2 * LOOP_READ_BYTES,
  REPLICA_HEAD_SPARE = 16, /* fields the response steps may add */
};

/* Gives the request a connection to its replica as r->lease: an idle one, or one
 * that is connecting (r->connected false; request_wake when it is). ERR_IO when
 * there cannot be one. */
enum err pool_lease(struct request *r) MUST_CHECK;
/* The request is done with it: kept when clean, closed else. */
void pool_return(struct replica_connection *rc);
/* Closes it now; the memory follows by a post. No request may refer to it. */
void pool_close(struct replica_connection *rc);
/* How requests are sent over HTTP/1 (http1_send.c). */
extern const struct replica_ops replica_http1;
/* The 101 has gone to the client: its bytes go on as they are. */
void replica_http1_open_tunnel(struct replica_connection *rc);
/* A tunnel's replica must take something within write_stall_s. */
void replica_http1_watch_tunnel(struct replica_connection *rc);
extern const struct transport_events replica_http1_events;
void replica_http1_expired(struct timer *t);

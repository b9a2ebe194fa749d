/* The inside of HTTP/1.1 to a replica: one request at a time a connection, kept
 * alive between them. http1_pool.c keeps them, http1_send.c writes requests,
 * http1.c reads answers.
 *
 * Idle ones wait in a list per worker and replica, the latest used first, and are
 * closed after replica_idle_s, before servers do it themselves. */
#pragma once

#include <stdbool.h>

#include "lib/base/stash.h"
#include "lib/http/http1.h"
#include "proxy/replica/link.h"

struct request;

struct replica_connection {
  struct replica_link link; /* while it rests, in replica->idle */
  struct request *request;  /* NULL while idle */
  /* the answer being read; see http1.c */
  struct http1_body body;
  struct stash stash; /* bytes of an incomplete head or trailer line */
  size_t scanned;
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
  REPLICA_FIRST_READ_BYTES = 16384, /* until an HTTP/2 client has taken some of the answer */
  REPLICA_HEAD_BYTES_MAX = 64 * 1024,
  REPLICA_STASH_BYTES_MAX = REPLICA_HEAD_BYTES_MAX + 2 * LOOP_READ_BYTES,
  REPLICA_HEAD_SPARE = 16, /* fields the response steps may add */
};

/* An idle connection, or one that is connecting; see replica_ops. */
enum err replica_http1_lease(struct request *r) MUST_CHECK;
/* The request is done with it: kept when clean, closed else. */
void replica_http1_return(struct replica_connection *rc);
/* How it is written and let go of (http1_send.c), and how it is read (http1.c). */
extern const struct replica_ops replica_http1;
/* The 101 has gone to the client: its bytes go on as they are. */
void replica_http1_open_tunnel(struct replica_connection *rc);
/* A tunnel's replica must take something within write_stall_s. */
void replica_http1_watch_tunnel(struct replica_connection *rc);
extern const struct transport_events replica_http1_events;
void replica_http1_expired(struct replica_link *l);

/* A client's connection, from accept to close: transport, deadlines, and which
 * protocol speaks on it.
 *
 * The protocol is known by ALPN, or in clear text by HTTP/2's preface. A client
 * belongs to its worker; client_close closes now, and the memory follows by a post.
 * It outlives its requests: closing makes them leave. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/list.h"
#include "lib/base/stash.h"
#include "lib/fleet/token.h"
#include "lib/http/http1.h"
#include "lib/net/deadline.h"
#include "lib/net/transport.h"
#include "proxy/request/peer.h"

struct client;
struct client_ops;
struct http2_session;
struct request;
struct worker;

enum { CLIENT_PEER_TEXT_BYTES = 64 };

/* How a listener wants its connections treated. It does not change: a listener that is to treat
 * them otherwise gets another one, and this one lives until the last of its connections has gone.
 */
struct client_door {
  _Atomic int refs;    /* the main thread's, one of each worker, one of each connection */
  bool http2;          /* may speak HTTP/2: by ALPN, or in clear by prior knowledge */
  bool proxy_protocol; /* trusted peers, who alone may come, begin with a PROXY header */
  bool asks_certificate, needs_certificate; /* of a client, by TLS */
  char port[8];                             /* for X-Forwarded-Port; empty on a Unix socket */
  struct tls_context *tls;                  /* NULL: clear text */
};

/* http1 | http2: what a protocol does with its connection. */
struct client_protocol {
  void (*bytes)(struct client *c, struct slice bytes);
  void (*drained)(struct client *c);
  void (*expired)(struct client *c); /* the deadline has passed */
  /* The client will send no more. False: it counts as gone. True: the connection is kept until
   * what it has sent is delivered. */
  bool (*ended)(struct client *c);
  void (*stop)(struct client *c);  /* the worker is stopping: few new requests, soon none */
  void (*halt)(struct client *c);  /* it waits no longer: no request goes on, visibly */
  void (*close)(struct client *c); /* the connection is gone: requests leave, memory goes */
};

/* Where HTTP/1 stands on a connection. */
enum http1_place {
  HTTP1_AT_HEAD,    /* waiting for a request head, or in the middle of one */
  HTTP1_AT_BODY,    /* its body goes into the request's pipe */
  HTTP1_AT_UPGRADE, /* asked for a tunnel; what comes before its answer waits in the pipe */
  HTTP1_AT_TUNNEL,  /* all that comes goes into the pipe, until the end */
  HTTP1_AT_ANSWER,  /* read to its end; the answer is still to come */
  HTTP1_AT_DISCARD, /* answered already; the rest of the body is read and dropped */
  HTTP1_AT_END,     /* nothing more will be read */
};

struct http1_client {
  enum http1_place place;
  struct request *request; /* one at a time; pipelined ones wait in the stash */
  struct http1_body body;
  struct stash stash; /* bytes read and not yet understood */
  size_t scanned;
  int64_t discarded; /* bytes dropped of a body nobody wants */
  int heads_left;    /* that may be begun in this turn */
  /* How long the body's next bytes may take: body_idle_timeout_s at first, and again with what
   * comes, by body_rate_min_bytes. Of the time since asked_us. */
  usec_t patience_us, asked_us;
  struct post next_post;
  bool in_read, head_begun, served, keep_alive, chunked, until_close, broken;
};

struct client {
  struct transport transport;
  struct worker *worker;
  struct client_door *door;
  const struct client_protocol *protocol; /* NULL until it is known */
  struct list node;                       /* in worker->open_clients */
  struct deadline deadline;
  struct post free_post;
  struct sockaddr_storage peer; /* as the PROXY header says, where there is one */
  char peer_text[CLIENT_PEER_TEXT_BYTES];
  bool trusted; /* its X-Forwarded-* are believed */
  bool unnamed; /* its PROXY header names no client */
  bool secure;  /* came by TLS, to us or to who wrote the PROXY header */
  bool closed;
  bool counted;        /* in the process's crowd */
  bool hurried;        /* finishing in a worker that stops; not yet looked at */
  uint64_t stall_mark; /* transport.bytes_out when the deadline was set for a stalled write */
  struct token_memo token_memo;
  struct identity identity;
  struct http1_client http1;
  struct http2_session *http2;
};

/* Any thread. */
struct client_door *client_door_ref(struct client_door *d);
/* The last one frees it with its TLS context. Accepts NULL. */
void client_door_unref(struct client_door *d);
/* Takes over an accepted descriptor. */
void client_accept(struct worker *w, struct client_door *door, int fd,
                   const struct sockaddr_storage *peer);
/* At once; requests leave. abort: with RST, so that nobody takes it for a clean end. */
void client_close(struct client *c, bool abort);
/* From now on the client must take something within write_stall_s. */
void client_watch_stall(struct client *c);
/* That time is over: cut off, or given it again when something was taken. */
void client_stall_expired(struct client *c);
/* The worker is stopping: an idle client has drain_idle_s for a request that may be under way. */
void client_expect_last(struct client *c);
/* Writes what waits, says goodbye, then closes when the client does, or has taken nothing for
 * write_stall_s; in a worker that stops nobody is waited for who has been told all. */
void client_finish(struct client *c);
/* The deadline of that has passed. */
void client_finish_expired(struct client *c);
/* A request with the connection's facts filled in; NULL when memory ran out. */
struct request *client_request(struct client *c, const struct client_ops *ops, void *self);

extern const struct client_protocol client_http1, client_http2;
/* How answers reach an HTTP/1 client (http1_answer.c); r->client is the client. */
extern const struct client_ops http1_answer_ops;
/* The connection will speak HTTP/2; false when memory ran out. */
bool client_http2_start(struct client *c);
void client_http1_start(struct client *c);
/* The client has been told to send its body: it is waited for. */
void client_http1_ask_body(struct client *c);
/* The request is over: what becomes of the connection. */
void client_http1_next(struct client *c);
/* Whether the connection can be kept once the running request is answered. */
bool client_http1_keeps(const struct client *c);

/* A request: the struct that walks the path.
 *
 * The path is a table of steps (proxy/steps/steps.c). The runner calls a step;
 * NEXT goes on, WAIT leaves the stack until request_wake, after which the same
 * step is called again and looks at what has changed, FAIL answers with what
 * request_fail noted and finishes, DONE finishes. Going back is request_back.
 *
 * Two seams meet in it: client_ops (http1 | http2) is how the answer reaches the
 * client, replica_ops how the request reaches the model server. The bodies run by
 * themselves in two pipes.
 *
 * Owner: the client side begins a request and calls request_leave exactly when
 * its client has gone; everything that can end a request jumps to the finish
 * step, which runs exactly once. Memory is given back by a post, so that callers
 * further up may still look at it. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/http/head.h"
#include "lib/net/loop.h"
#include "proxy/request/cells.h"
#include "proxy/request/failure.h"
#include "proxy/request/hold_queue.h"
#include "proxy/request/pipe.h"

struct endpoint;
struct identity;
struct json_member;
struct meter;
struct replica;
struct replica_shared;
struct request;
struct token_memo;
struct worker;

enum step_result { STEP_NEXT, STEP_WAIT, STEP_FAIL, STEP_DONE };

enum {
  REQUEST_TRAILERS_MAX = 32,
  REQUEST_INTERIMS_MAX = 32, /* 1xx heads passed on; they wait for the client without credit */
};

struct request_step {
  const char *name;
  enum step_result (*run)(struct request *r);
};

struct response_step {
  const char *name;
  /* False: the answer cannot be passed on; request_fail was called. */
  bool (*run)(struct request *r);
};

/* The client's side of a request. `r->client` is its own. */
struct client_ops {
  /* An interim (1xx) head. */
  void (*interim)(struct request *r, const struct http_head *h);
  /* The final head (of a tunnel: the 101). Body bytes follow through the response pipe, whose sink
   * the client side connects here; without a body (h->framing HTTP_NO_BODY or HEAD) the answer is
   * complete. */
  void (*head)(struct request *r, const struct http_head *h);
  /* A complete answer of our own. */
  void (*answer)(struct request *r, const struct http_head *h, struct slice body);
  /* The answer cannot be completed: make that visible. */
  void (*abort)(struct request *r);
  /* The request is finished: let go of it. */
  void (*finished)(struct request *r);
};

/* The replica's side. `r->lease` is its own. */
struct replica_ops {
  /* Gives the request a connection, or its share of one; see pool_lease. */
  enum err (*lease)(struct request *r);
  /* Sends the head and connects the request pipe. */
  void (*start)(struct request *r);
  /* Lets go: an exchange that is not complete is cut. */
  void (*cancel)(struct request *r);
};

enum request_phase {
  PHASE_NEW,     /* not counted yet */
  PHASE_PENDING, /* in the hold or at a replica, no final status */
  PHASE_OPEN,    /* status sent, body streaming */
  PHASE_OVER,
};

struct request {
  struct worker *worker;
  struct list node; /* in the worker's held list while waiting there */
  /* the path */
  int step;
  bool waiting, finished;
  void (*cancel_wait)(struct request *r); /* set by the step that waits */
  struct post wake_post, free_post;
  /* client */
  const struct client_ops *client_ops;
  void *client;
  const struct sockaddr_storage *peer;
  const char *peer_text;           /* numeric address, for X-Forwarded-For and the log */
  struct slice local_port;         /* digits; empty on a Unix socket */
  struct token_memo *token_memo;   /* the connection's */
  const struct identity *identity; /* the connection's */
  bool secure, http2, trusted_peer;
  bool unnamed;  /* its PROXY header names no client */
  bool by_model; /* the body says which endpoint */
  /* head */
  struct arena arena;
  struct http_head head;
  struct slice id;          /* x-request-id */
  int64_t body_limit_bytes; /* of the request body; 0: none */
  struct slice host;        /* without port */
  struct slice path;        /* target without query, as the client sent it */
  size_t strip;             /* bytes of the path that the route cuts */
  int64_t scale_up_s;       /* X-Scale-Up-Timeout; -1: not given */
  struct json_member *seek; /* while that is being looked for; in the arena */
  /* access */
  bool has_token, cors;
  bool metered; /* the meter counts us */
  unsigned char token_hash[HOLD_KEY_BYTES];
  struct slice token_name;
  struct meter *meter; /* a reference; NULL: its token has no limits */
  /* endpoint and replica */
  struct endpoint *endpoint;
  struct replica *replica;      /* a reference while leased */
  struct replica_shared *place; /* a place of concurrency_max, with a reference */
  const struct replica_ops *replica_ops;
  void *lease;
  const struct replica_shared *avoid; /* whom the last way back came from; only compared */
  int attempts;                       /* ways back taken */
  int retries;                        /* pauses made before them */
  bool retried_answer;                /* one of them was a 502 or 503 from a replica */
  bool leased;                        /* replica->cell counts us */
  bool lease_reused;                  /* on a connection that had served before */
  bool connected, relaying, invited;
  /* hold */
  struct hold_ticket *hold;
  uint64_t ticket; /* the place in the lane, kept over a way back */
  usec_t hold_until_us;
  /* bodies */
  struct pipe request_pipe, response_pipe;
  struct http_head *answer; /* the replica's head while the response steps run */
  struct slice answer_hops; /* what its Connection names, for its trailers; in the arena */
  int interims;             /* passed on */
  bool response_started;    /* something of the final answer went to the client */
  /* account */
  enum request_phase phase;
  bool held;
  int status;
  enum ending ending;
  enum failure_kind failure;   /* what an answer of our own says */
  const char *failure_message; /* a literal, or in the arena */
  int64_t retry_after_s;       /* 0: no Retry-After */
  usec_t begun_us, held_since_us, hold_us, connect_began_us, connected_us, first_byte_us;
};

/* From the client side, when a head has been read: NULL when memory ran out. The
 * head's slices must live in r->arena before request_begin. */
struct request *request_new(struct worker *w, const struct client_ops *ops,
                            void *client) MUST_CHECK;
/* Copies the head (its fields and all texts) into the arena. */
enum err request_take_head(struct request *r, const struct http_head *h) MUST_CHECK;
/* Starts walking. The request may be finished when this returns. */
void request_begin(struct request *r);
/* Drops a request that was never begun. */
void request_discard(struct request *r);
/* Instead of walking: answers what could not be read as a request. */
void request_refuse(struct request *r, enum failure_kind kind);
/* From the client side: more of the body, and its end. The request may be finished
 * when one of these returns (a body over its limit, no memory). */
void request_body(struct request *r, struct slice bytes);
void request_body_end(struct request *r);
/* A trailer field of a body, copied. Dropped are those over REQUEST_TRAILERS_MAX, those that may
 * not stand there, those that the answer's Connection names, and a client's with underscores. */
void request_trailer(struct request *r, struct pipe *p, struct slice name, struct slice value);

/* Resumes the step that waits; posted. */
void request_wake(struct request *r);
/* Notes the answer of our own to give, and counts it; returns STEP_FAIL for convenience. */
enum step_result request_fail(struct request *r, enum failure_kind kind);
/* The same, and the client may try again after that time. */
enum step_result request_fail_later(struct request *r, enum failure_kind kind, usec_t wait);
/* The same, with what stands for "{}" in the message: a text, a limit. */
enum step_result request_fail_naming(struct request *r, enum failure_kind kind, struct slice what);
enum step_result request_fail_beyond(struct request *r, enum failure_kind kind, int64_t limit);
/* Ends the request from anywhere but a step: fails with what was noted when
 * nothing has been sent, else aborts the answer visibly. */
void request_end(struct request *r, enum ending ending);
/* The client has gone. */
void request_leave(struct request *r);
/* The process will wait no longer: 503 when nothing has been sent, else the answer is aborted. */
void request_shut_down(struct request *r);
/* From the replica side: a head has come (interim ones too, of which those over
 * REQUEST_INTERIMS_MAX are dropped). False: it was refused, the lease is gone. The
 * head's memory is the caller's. */
bool request_response_head(struct request *r, struct http_head *h);
/* From the client side: the whole answer was handed on. */
void request_response_complete(struct request *r);
/* From the replica side: the connection failed before the response head.
 * `refused`: nothing of the request can have been acted upon. Goes back to the
 * hold when the request can be sent again, else fails. */
void request_replica_lost(struct request *r, enum failure_kind why, bool refused);
/* Steps: go back to the step of that name at the next turn of the runner. */
void request_back(struct request *r, const char *step_name);

/* Steps: a client that waits for leave to send its body gets it (RFC 9110, 10.1.1). */
void request_invite(struct request *r);
/* A text in the arena; "" when memory ran out. */
const char *request_text(struct request *r, const char *format, ...) PRINTF(2, 3);
/* The words (one at least, then NULL) as a field's list, in the arena; empty when memory ran out.
 */
struct slice request_list(struct request *r, char *const *words);

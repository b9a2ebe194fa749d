/* A request's ticket while the hold keeps it: its place in the queue, its deadline,
 * and what it is counted for.
 *
 * The ticket is apart from the request because a grant may be on its way when the
 * request has gone; then it lives until the grant arrives and gives the place back. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/net/loop.h"
#include "proxy/request/hold_queue.h"

struct endpoint;
struct request;
struct worker;

enum ticket_kind {
  TICKET_QUEUED, /* in the endpoint's queue */
  TICKET_PACED,  /* a 503 kept back for a while; not pending */
  TICKET_RETRY,  /* a replica refused: a pause before trying again */
};

struct hold_ticket {
  struct hold_waiter waiter;
  enum ticket_kind kind;
  struct request *request; /* NULL: gone, while a grant was on its way */
  struct worker *worker;
  struct endpoint *endpoint; /* a reference */
  struct timer timer;
  int64_t bytes; /* counted against hold_bytes_max */
  bool granted, expired, wants, extended;
};

/* Each gives the request a ticket (r->hold) that wakes it. ERR_LIMIT: one of the limits
 * hold_requests_max, hold_bytes_max, paced_requests_max is reached. */
enum err hold_ticket_queue(struct request *r, usec_t until) MUST_CHECK;
enum err hold_ticket_pace(struct request *r, usec_t pause) MUST_CHECK;
enum err hold_ticket_retry(struct request *r, usec_t pause) MUST_CHECK;
/* The request leaves the hold; harmless without a ticket. */
void hold_ticket_drop(struct request *r);
/* Moves the deadline; false when that failed. */
bool hold_ticket_until(struct hold_ticket *t, usec_t until);
/* Makes the endpoint wanted while no replica is ready. */
void hold_ticket_want(struct request *r);
/* Whose turn it counts as: the token's if it is known here, else that of the client's network
 * (see peer_client). */
void hold_ticket_key(const struct request *r, unsigned char key[HOLD_KEY_BYTES]);

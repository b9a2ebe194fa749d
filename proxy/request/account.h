/* What is counted of a request, kept in the worker's own cell of its endpoint.
 *
 *   new -> pending -> open -> over       (the phases; each is entered once)
 *            held                        (part of pending: waiting in our hold)
 *
 * pending counts from entering the hold until the final status, whoever waits:
 * us or the replica. Integrals are brought up to date at each change. */
#pragma once

#include <stdbool.h>

#include "lib/base/clock.h"
#include "proxy/request/cells.h"

struct request;

void account_pending(struct request *r);
/* Enters or leaves the hold; `wants` says whether a replica is to be started for it. */
void account_held(struct request *r, bool held);
void account_open(struct request *r);
void account_replay(struct request *r);
/* Settles everything: whatever phase the request was in, it is over. */
void account_over(struct request *r);

/* A consistent reading of a cell by another thread, integrals extended to now. */
struct account_sum {
  int64_t pending, held, open, waiting;
  int64_t pending_us, held_us, open_us;
  int64_t requests_total;
};
void account_read(const struct endpoint_cell *c, usec_t now, struct account_sum *add);

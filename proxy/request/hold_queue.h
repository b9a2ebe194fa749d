/* The hold queue of one endpoint: who waits for a replica, in which order they go.
 *
 * One per endpoint and process, behind a mutex: this is the slow path. Waiters of
 * one key (a token, else a client address) form a lane, oldest first; lanes take
 * turns. A grant reaches its waiter by the mailbox of the waiter's loop. Room is
 * what ready replicas have left of this proxy's share of their concurrency_max; a grant takes its
 * place there with it.
 *
 * A waiter belongs to the thread that joined it. After hold_queue_join it must not
 * be freed before hold_queue_leave returned true or its grant was delivered. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/mailbox.h"

struct loop;
struct hold_queue;
struct replica_shared;

enum { HOLD_KEY_BYTES = 32 };

enum hold_state { HOLD_OUT, HOLD_QUEUED, HOLD_GRANTED };

struct hold_waiter {
  unsigned char key[HOLD_KEY_BYTES];
  struct loop *loop; /* where grant.deliver is to run */
  struct mail grant; /* deliver is the owner's; it may join or free the waiter */
  /* With a granted place: the replica it is at; a reference is held.
   * NULL: granted without one, every replica is unlimited. */
  struct replica_shared *place;
  uint64_t
      ticket; /* 0: not given yet. Kept over a rejoin, so that the place in the lane is kept. */
  enum hold_state state; /* under the queue's lock */
  struct hold_lane *lane;
  struct list node;
};

struct hold_queue *hold_queue_new(void) MUST_CHECK;
/* Nobody may be waiting. Accepts NULL; returns NULL. */
struct hold_queue *hold_queue_free(struct hold_queue *q);

/* Queues the waiter, then grants what can be granted (perhaps to itself: by mail
 * all the same). ERR_LIMIT when `max` are waiting already, ERR_MEMORY. */
enum err hold_queue_join(struct hold_queue *q, struct hold_waiter *w, size_t max) MUST_CHECK;
/* Takes the waiter out. False: a grant is on its way; the waiter must live until
 * it is delivered, and a place that comes with it must be given back. */
bool hold_queue_leave(struct hold_queue *q, struct hold_waiter *w);
/* How many wait. Cheap; any thread. */
size_t hold_queue_count(const struct hold_queue *q);
/* Main thread: the replicas that are ready now. References are taken. */
enum err hold_queue_set_ready(struct hold_queue *q, struct replica_shared **ready,
                              int count) MUST_CHECK;
/* There may be more room: grants what can be granted. */
void hold_queue_look(struct hold_queue *q);
/* Gives a place back and grants it to the next. `place` may be NULL. */
void hold_queue_release(struct hold_queue *q, struct replica_shared *place);
/* Takes a place at any ready replica for a newcomer, who never overtakes waiters:
 * false when somebody waits or there is no room. *place is NULL when unlimited. */
bool hold_queue_pass(struct hold_queue *q, struct replica_shared *preferred);

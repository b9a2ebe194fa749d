/* What all threads of a process share of an endpoint and of a replica. Made by
 * the main thread, referenced by the workers' copies of the fleet; released by
 * whoever lets go last. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/fleet/endpoint.h"
#include "proxy/request/cells.h"
#include "proxy/request/hold_queue.h"

struct replica_shared {
  char id[REPLICA_ID_BYTES];
  _Atomic int refs;
  _Atomic int64_t concurrency_max; /* 0: unlimited */
  _Atomic int64_t room;            /* how many of these places are this proxy's */
  _Atomic int64_t failures;        /* in a row; see outlier.h */
  _Atomic int64_t trial_at_us;     /* 0: not ejected */
  _Atomic int64_t eject_us;        /* from one trial to the next */
  /* main thread: */
  bool asked;     /* a share of the places was asked for */
  bool asking;    /* and the answer is on its way: until then we may hold more than we know */
  bool ask_again; /* somebody wanted to meanwhile */
  _Alignas(CELL_ALIGN) _Atomic int64_t reserved; /* the one shared atomic on the path */
  struct replica_cell cells[];                   /* one per worker */
};

struct endpoint_shared {
  char name[ENDPOINT_NAME_BYTES_MAX + 1];
  _Atomic int refs;
  struct hold_queue *hold;
  _Atomic bool wanted;          /* a request wants a replica, and that is not yet published */
  _Atomic int64_t held_bytes;   /* against the endpoint's hold_bytes_max */
  struct endpoint_cell cells[]; /* one per worker */
};

/* All of concurrency_max is ours at first. */
struct replica_shared *replica_shared_new(const char *id, int64_t concurrency_max,
                                          int workers) MUST_CHECK;
struct replica_shared *replica_shared_ref(struct replica_shared *s);
struct replica_shared *replica_shared_unref(struct replica_shared *s);
/* Main thread: another concurrency_max, none of which is ours yet. Who is there stays. */
void replica_shared_limit(struct replica_shared *s, int64_t concurrency_max);
/* Takes one of our places; false when all are taken. Any thread. */
bool replica_shared_reserve(struct replica_shared *s);
void replica_shared_release(struct replica_shared *s);
/* How many places are left; INT64_MAX when there is no limit. */
int64_t replica_shared_left(struct replica_shared *s);

struct endpoint_shared *endpoint_shared_new(const char *name, int workers) MUST_CHECK;
struct endpoint_shared *endpoint_shared_ref(struct endpoint_shared *s);
struct endpoint_shared *endpoint_shared_unref(struct endpoint_shared *s);

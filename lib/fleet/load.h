/* What one proxy publishes of one endpoint: absolute numbers, never increments.
 *
 * Each count has its integral over time, so that the exact mean over any window
 * is (I(t2) - I(t1)) / (t2 - t1). */
#pragma once

#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/fleet/endpoint.h"

struct buf;

enum { PROXY_ID_BYTES = 64 };

struct load_replica {
  char id[REPLICA_ID_BYTES];
  int64_t active; /* requests pending at it or open on it, from this proxy */
};

struct load_record {
  char endpoint[ENDPOINT_NAME_BYTES_MAX + 1];
  char proxy[PROXY_ID_BYTES]; /* the publishing proxy's id */
  int64_t incarnation;        /* wall-clock ms of that proxy's start */
  int64_t at_us;              /* of the publisher's monotonic clock: the t of the integrals */
  int64_t pending;            /* no final status yet, held ones included */
  int64_t held;               /* of these, waiting in our hold */
  int64_t open;               /* status sent, body streaming */
  int64_t pending_us, held_us, open_us; /* the integrals: count x microseconds */
  int64_t requests_total;  /* requests that have entered the hold step since the start */
  int64_t requests_before; /* the same in the record before this one: a scheduler that has not seen
                              that one counts from here */
  int64_t wanted_ms;       /* wall clock: since when a waiter wants a replica; 0: nobody does */
  int64_t seen;            /* the endpoint_record version that all of this proxy's workers know */
  int replica_count;
  struct load_replica *replicas; /* those with requests */
};

/* The record owns its array. */
struct load_record *load_record_copy(const struct load_record *r) MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct load_record *load_record_free(struct load_record *r);

/* As one line of JSON, whose members are those above. */
void load_record_write(const struct load_record *r, struct buf *out);
/* The other way round: ERR_SYNTAX for anything that load_record_write would not have said. */
enum err load_record_read(struct slice text, struct load_record **out) MUST_CHECK;

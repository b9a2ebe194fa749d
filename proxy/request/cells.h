/* Numbers written on the path of a request: one cell per worker, one writer each,
 * on cache lines of its own. Readers (the main thread, and other workers at most once a
 * millisecond) load them relaxed; sums may be a few requests apart from each
 * other, never lost. */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"

enum { CELL_ALIGN = 64, LATENCY_BUCKETS = 16 };

typedef _Atomic int64_t cell_t;

/* One writer, so no locked instruction is needed. */
static inline void cell_add(cell_t *c, int64_t n) {
  atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline int64_t cell_get(const cell_t *c) {
  return atomic_load_explicit(c, memory_order_relaxed);
}

/* Upper bounds in milliseconds of all latency histograms; the last is +Inf. */
extern const int64_t latency_bounds_ms[LATENCY_BUCKETS - 1];

struct latency_cell {
  cell_t buckets[LATENCY_BUCKETS];
  cell_t sum_us;
};

/* How a request ended, for the access log and the metrics. */
enum ending {
  END_COMPLETE,   /* the whole answer was handed on */
  END_OWN_ANSWER, /* answered by the proxy itself */
  END_CLIENT_GONE,
  END_REPLICA_FAILED, /* the replica died or broke the protocol mid-answer */
  END_TIMEOUT,
  END_SHUTDOWN,
  ENDINGS
};
const char *ending_word(enum ending e);

/* Per endpoint and worker. */
struct endpoint_cell {
  _Alignas(CELL_ALIGN) cell_t serial; /* odd while the next seven are being written */
  cell_t pending, held, open;
  cell_t pending_us, held_us, open_us; /* integrals up to at_us */
  cell_t at_us;
  cell_t requests_total; /* entered the hold step */
  cell_t waiting;        /* of the held: those that want a replica (not merely paced) */
  cell_t version;        /* of the endpoint's record, as this worker knows it */
  cell_t statuses[6];    /* final statuses by class; [0]: none was sent */
  cell_t endings[ENDINGS];
  cell_t request_bytes, response_bytes;
  cell_t replays, connect_failures;
  struct latency_cell hold, first_byte, total;
};

/* Per replica and worker. */
struct replica_cell {
  _Alignas(CELL_ALIGN) cell_t active; /* leases held: pending at it or open on it */
  cell_t requests_total;
  cell_t failures_total; /* not answered, or not to the end */
};

static_assert(offsetof(struct endpoint_cell, at_us) < CELL_ALIGN,
              "what changes with each count lies in one line");
static_assert(sizeof(struct endpoint_cell) % CELL_ALIGN == 0 &&
                  sizeof(struct replica_cell) % CELL_ALIGN == 0,
              "no two workers write to one line");

/* What a client ran into: metrics count each. */
enum client_limit {
  LIMIT_NONE,
  LIMIT_HEAD_SIZE,
  LIMIT_HEAD_TIMEOUT,
  LIMIT_BODY_IDLE, /* or too slow */
  LIMIT_WRITE_STALL,
  LIMIT_IDLE,
  LIMIT_HTTP2_FRAMES, /* a frame that may not be */
  LIMIT_HTTP2_RESETS,
  LIMIT_HTTP2_CONTROL,
  LIMIT_HTTP2_CONTINUATIONS,
  LIMIT_HTTP2_SETTINGS,
  LIMIT_HTTP2_BUFFER,
  LIMIT_CONNECTIONS,
  LIMIT_ADDRESS,
  LIMIT_PROXY_PEER,   /* who may not say for whom he comes */
  LIMIT_PROXY_HEADER, /* who must, and does not */
  LIMIT_AUTH_FAILURES,
  CLIENT_LIMITS
};
const char *client_limit_word(enum client_limit l);

/* What of an endpoint's rules refused a request. */
enum access_rule { RULE_ADDRESSES, RULE_VPC_ENDPOINTS, RULE_CLIENT_CERTIFICATES, ACCESS_RULES };
const char *access_rule_word(enum access_rule r);

/* Per worker. */
struct worker_cell {
  _Alignas(CELL_ALIGN) cell_t connections, connections_total, tls_handshakes, tls_failures;
  cell_t requests_http1, requests_http2, bad_requests, unauthorized, forbidden, unknown_host;
  cell_t certificate_failures;
  cell_t limited, paced, log_lines_dropped, ejections;
  cell_t accept_pauses, connections_missed;
  cell_t limits[CLIENT_LIMITS], denied[ACCESS_RULES];
};

static_assert(sizeof(struct worker_cell) % CELL_ALIGN == 0, "no two workers write to one line");

/* How many replicas an endpoint should have. Pure: samples in, a number and a reason in
 * words out, so that each decision can be logged, replayed and explained. Times are
 * the caller's monotonic microseconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/fleet/endpoint.h"

enum { POLICY_SAMPLES_MAX = 1024, POLICY_REASON_BYTES = 240 };

/* Summed over all proxies. */
struct policy_sample {
  usec_t at;
  int64_t pending, open;
  int64_t pending_us; /* the integral */
  int64_t requests_total;
  bool wanted; /* somebody waits for a replica */
};

struct policy {
  struct {
    usec_t at;
    int64_t pending_us;
  } ring[POLICY_SAMPLES_MAX];
  int first, count;
  usec_t up_since, down_since; /* when the windows began anew */
  usec_t active_at;            /* when there was last something to do, or a wake */
  int64_t requests_seen;
  bool started;
};

struct policy_decision {
  int desired;
  char reason[POLICY_REASON_BYTES]; /* "" when nothing changes */
};

/* `current`: what was desired so far; `alive`: replicas ready or starting. */
struct policy_decision policy_decide(struct policy *p, const struct endpoint_scaling *scaling,
                                     bool paused, int current, int alive,
                                     const struct policy_sample *s);

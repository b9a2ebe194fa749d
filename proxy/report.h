/* What there is to say to an operator: metrics (docs/metrics.md) and status. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"

struct buf;
struct edge;
struct overview;
struct scheduler;
struct store;

/* What this process is made of. */
struct report {
  const struct edge *edge;           /* NULL: it is no proxy */
  const struct scheduler *scheduler; /* NULL: it is no scheduler */
  const struct store *store;
  const struct report_reloads *reloads;
  usec_t began_us; /* of the monotonic clock */
};

/* How often the configuration was read again. */
struct report_reloads {
  int64_t taken, refused;
  int64_t last_us; /* wall clock, when what is in force was read */
};

/* Prometheus 0.0.4 or OpenMetrics 1.0.0. */
void report_metrics(const struct report *r, bool openmetrics, struct buf *out);
/* JSON: the fleet as the overview has it, with our own numbers as they are now. */
void report_status(const struct report *r, const struct overview *o, struct buf *out);
/* Whether the store is there, and since when it is not. */
void report_ready(const struct report *r, struct buf *out);

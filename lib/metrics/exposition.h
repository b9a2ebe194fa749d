/* Metrics as text: Prometheus 0.0.4 and OpenMetrics 1.0.0. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct buf;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct exposition {
  struct buf *out;
  bool openmetrics;
  const char *name; /* of the family being written */
  enum metric_type type;
};

/* Labels are pairs of name and value, NULL-terminated; values are escaped. */
typedef const char *const *metric_labels;

/* Begins a family; a counter's name comes without "_total". */
void exposition_family(struct exposition *e, const char *name, enum metric_type type,
                       const char *help);
void exposition_value(struct exposition *e, metric_labels labels, double value);
/* `buckets` has count + 1 numbers, not cumulative, the last beyond all bounds (seconds). */
void exposition_histogram(struct exposition *e, metric_labels labels, const double *bounds,
                          int count, const int64_t *buckets, double sum);
void exposition_end(struct exposition *e);

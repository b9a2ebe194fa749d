/* How often which value came, in bounded memory: log-linear buckets, each octave cut into
 * HISTOGRAM_STEPS of equal width, so that a quantile is off by at most half a bucket, 0.05 % of
 * its value. Values are whole numbers of any unit; zeroed memory is an empty histogram. */
#pragma once

#include <stdint.h>

enum {
  HISTOGRAM_STEP_BITS = 10,
  HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS, /* buckets of an octave */
  HISTOGRAM_VALUE_BITS = 40,                  /* larger values count as the largest */
  HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS,
};

struct histogram {
  uint64_t count, sum, max;
  uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* A negative value counts as 0. */
void histogram_add(struct histogram *h, int64_t value);
void histogram_merge(struct histogram *to, const struct histogram *from);
double histogram_mean(const struct histogram *h);
/* The value that a share (0 to 1) of all does not exceed; 0 when empty. */
double histogram_quantile(const struct histogram *h, double share);

#include "bench/load/histogram.h"

#include <math.h>
#include <stddef.h>

static unsigned bucket_of(uint64_t value) {
  if (value < HISTOGRAM_STEPS)
    return (unsigned)value;
  unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
  return (shift + 1) * HISTOGRAM_STEPS + (unsigned)(value >> shift) - HISTOGRAM_STEPS;
}

/* The middle of what falls into the bucket. */
static double bucket_value(unsigned bucket) {
  if (bucket < 2 * HISTOGRAM_STEPS)
    return bucket;
  unsigned shift = bucket / HISTOGRAM_STEPS - 1;
  uint64_t low = (uint64_t)(bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS) << shift;
  return (double)low + (double)((UINT64_C(1) << shift) - 1) / 2;
}

void histogram_add(struct histogram *h, int64_t value) {
  const uint64_t most = (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1;
  uint64_t v = value < 0 ? 0 : (uint64_t)value;
  if (v > most)
    v = most;
  h->count++;
  h->sum += v;
  if (v > h->max)
    h->max = v;
  h->buckets[bucket_of(v)]++;
}

void histogram_merge(struct histogram *to, const struct histogram *from) {
  to->count += from->count;
  to->sum += from->sum;
  if (from->max > to->max)
    to->max = from->max;
  for (size_t i = 0; from->count && i < HISTOGRAM_BUCKETS; i++)
    to->buckets[i] += from->buckets[i];
}

double histogram_mean(const struct histogram *h) {
  return h->count ? (double)h->sum / (double)h->count : 0;
}

double histogram_quantile(const struct histogram *h, double share) {
  uint64_t rank = (uint64_t)ceil(share * (double)h->count), seen = 0;
  if (rank == 0)
    rank = 1;
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS && h->count; i++)
    if ((seen += h->buckets[i]) >= rank)
      return fmin(bucket_value(i), (double)h->max);
  return (double)h->max;
}

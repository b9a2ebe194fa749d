/* Time.  Durations and deadlines are microseconds of CLOCK_MONOTONIC in 64 bits;
 * wall-clock time appears only in what people and certificates read. */
#pragma once

#include <stdint.h>
#include <time.h>

typedef int64_t usec_t;

#define USEC_PER_MS 1000LL
#define USEC_PER_S 1000000LL
#define USEC_NEVER INT64_MAX

static inline usec_t clock_read(clockid_t id) {
  struct timespec ts;
  clock_gettime(id, &ts);
  return (usec_t)ts.tv_sec * USEC_PER_S + ts.tv_nsec / 1000;
}

static inline usec_t clock_mono(void) {
  return clock_read(CLOCK_MONOTONIC);
}

/* Microseconds since 1970-01-01T00:00:00Z. */
static inline usec_t clock_wall(void) {
  return clock_read(CLOCK_REALTIME);
}

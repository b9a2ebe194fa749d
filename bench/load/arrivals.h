/* When the requests of an open loop are due, whatever became of those before. */
#pragma once

#include "bench/load/draw.h"
#include "lib/base/clock.h"

enum arrivals_kind { ARRIVALS_CONSTANT, ARRIVALS_POISSON };

struct arrivals {
  enum arrivals_kind kind;
  double period_us;
  double next_us; /* after `begin`; not rounded, so that nothing adds up */
  usec_t begin;
};

void arrivals_begin(struct arrivals *a, enum arrivals_kind kind, double rate_per_s, usec_t now);
/* The next one's time. */
usec_t arrivals_due(const struct arrivals *a);
/* It has been taken: the one after it. */
void arrivals_advance(struct arrivals *a, struct draw *d);

#include "bench/load/arrivals.h"

void arrivals_begin(struct arrivals *a, enum arrivals_kind kind, double rate_per_s, usec_t now) {
  *a = (struct arrivals){.kind = kind, .period_us = USEC_PER_S / rate_per_s, .begin = now};
}

usec_t arrivals_due(const struct arrivals *a) {
  return a->begin + (usec_t)a->next_us;
}

void arrivals_advance(struct arrivals *a, struct draw *d) {
  a->next_us += a->kind == ARRIVALS_POISSON ? draw_exponential(d, a->period_us) : a->period_us;
}

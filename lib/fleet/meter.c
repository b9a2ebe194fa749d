#include "lib/fleet/meter.h"

#include <stdlib.h>

enum { RETRY_BUSY_US = 1000 * 1000 };
static const double RATE_LEAST = 1e-3; /* a share of nothing still moves on */

struct meter *meter_new(int64_t concurrency_max, double requests_per_s) {
  struct meter *m = calloc(1, sizeof *m);
  if (!m)
    return NULL;
  m->refs = 1;
  m->concurrency_max = concurrency_max;
  m->requests_per_s = requests_per_s;
  meter_allow_concurrency(m, concurrency_max);
  meter_allow_rate(m, requests_per_s);
  return m;
}

struct meter *meter_ref(struct meter *m) {
  atomic_fetch_add(&m->refs, 1);
  return m;
}

struct meter *meter_unref(struct meter *m) {
  if (m && atomic_fetch_sub(&m->refs, 1) == 1)
    free(m);
  return NULL;
}

static enum err take_place(struct meter *m) {
  if (m->concurrency_max == 0 || atomic_load(&m->active) < atomic_load(&m->active_allowed)) {
    /* Two at once may both see the last place; who comes too far steps back. */
    if (atomic_fetch_add(&m->active, 1) < atomic_load(&m->active_allowed) ||
        m->concurrency_max == 0)
      return OK;
    atomic_fetch_sub(&m->active, 1);
  }
  atomic_fetch_add(&m->refused, 1);
  return ERR_LIMIT;
}

static enum err take_turn(struct meter *m, usec_t now, usec_t *retry_us) {
  if (m->requests_per_s == 0)
    return OK;
  int64_t apart = atomic_load(&m->apart_us);
  int64_t burst = apart > USEC_PER_S ? 0 : USEC_PER_S - apart;
  int64_t latest = now + burst + apart, due = atomic_load(&m->due_us);
  for (;;) {
    if (due > latest) { /* the rate was lower before */
      atomic_compare_exchange_weak(&m->due_us, &due, latest);
      due = atomic_load(&m->due_us);
      continue;
    }
    int64_t at = due > now ? due : now;
    if (at - burst > now) {
      *retry_us = at - burst - now;
      return ERR_LIMIT;
    }
    if (atomic_compare_exchange_weak(&m->due_us, &due, at + apart))
      return OK;
  }
}

enum err meter_enter(struct meter *m, usec_t now, usec_t *retry_us) {
  atomic_fetch_add(&m->asked, 1);
  *retry_us = RETRY_BUSY_US;
  enum err e = take_place(m);
  if (e)
    return e;
  e = take_turn(m, now, retry_us);
  if (e)
    meter_leave(m);
  return e;
}

void meter_leave(struct meter *m) {
  atomic_fetch_sub(&m->active, 1);
}

void meter_allow_concurrency(struct meter *m, int64_t allowed) {
  atomic_store(&m->active_allowed, allowed);
}

void meter_allow_rate(struct meter *m, double requests_per_s) {
  m->rate_allowed = requests_per_s;
  if (requests_per_s < RATE_LEAST)
    requests_per_s = RATE_LEAST;
  atomic_store(&m->apart_us, (int64_t)((double)USEC_PER_S / requests_per_s));
}

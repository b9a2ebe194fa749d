#include "proxy/steps/pace.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/recent.h"

enum { PACE_SETS = 1 << 14 };

struct pace {
  struct recent *last; /* when a key was given its last 503 */
  usec_t window_us;
  int64_t waiting_max;
  _Atomic int64_t waiting;
};

struct pace *pace_new(usec_t window_us, int64_t waiting_max) {
  struct pace *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  p->window_us = window_us;
  p->waiting_max = waiting_max;
  p->last = recent_new(PACE_SETS);
  return p->last ? p : pace_free(p);
}

struct pace *pace_free(struct pace *p) {
  if (p)
    recent_free(p->last);
  free(p);
  return NULL;
}

bool pace_repeats(struct pace *p, const unsigned char *key, size_t key_bytes, usec_t now) {
  int64_t *last = recent_lock(p->last, slice_of((const char *)key, key_bytes));
  bool repeats = *last && now - *last < p->window_us;
  *last = now;
  recent_unlock(p->last);
  return repeats;
}

bool pace_wait_begin(struct pace *p) {
  if (atomic_fetch_add(&p->waiting, 1) < p->waiting_max)
    return true;
  atomic_fetch_sub(&p->waiting, 1);
  return false;
}

void pace_wait_end(struct pace *p) {
  atomic_fetch_sub(&p->waiting, 1);
}

/* A stock that is drawn on one by one and comes back at a rate (a token bucket): all of it is when
 * it will be full again. Zeroed is full. */
#pragma once

#include "lib/base/clock.h"

struct allowance {
  usec_t full_at;
};

/* Draws one of `burst` (1 or more), of which `per_s` (1 to 1000000) come back a second. 0: there
 * was one; else nothing is drawn, and one will be there after that time. */
static inline usec_t allowance_draw(struct allowance *a, usec_t now, int64_t burst, int64_t per_s) {
  usec_t each = USEC_PER_S / per_s, most = now + burst * each;
  usec_t from = a->full_at > now ? a->full_at : now;
  if (from > most) /* it was larger, or slower, before */
    from = most;
  if (from + each > most)
    return from + each - most;
  a->full_at = from + each;
  return 0;
}

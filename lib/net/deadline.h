/* A deadline that moves often and passes seldom.  Moving it is an assignment; the
 * timer behind it stays where it is and looks, when it fires, how things stand.
 *
 *   void fired(struct timer *t) {
 *     struct thing *x = container_of(t, struct thing, deadline.timer);
 *     if (deadline_passed(x->loop, &x->deadline))
 *       ...
 *   }
 *
 * Without memory for the timer's place the deadline is not kept; nothing else is
 * harmed. */
#pragma once

#include <stdbool.h>

#include "lib/net/loop.h"

struct deadline {
  struct timer timer;
  usec_t at; /* of loop_now's clock; USEC_NEVER: none */
};

static inline void deadline_init(struct deadline *d, void (*fire)(struct timer *t)) {
  timer_init(&d->timer, fire);
  d->at = USEC_NEVER;
}

static inline void deadline_set(struct loop *l, struct deadline *d, usec_t at) {
  d->at = at;
  if (at != USEC_NEVER && (!heap_has(&d->timer.node) || d->timer.node.at > at))
    if (timer_set(l, &d->timer, at) != OK)
      d->at = USEC_NEVER;
}

/* The timer may still fire; deadline_passed will say false. */
static inline void deadline_clear(struct deadline *d) {
  d->at = USEC_NEVER;
}

/* From the timer's function: whether the deadline is over; else waits on. */
static inline bool deadline_passed(struct loop *l, struct deadline *d) {
  if (d->at == USEC_NEVER)
    return false;
  if (loop_now(l) >= d->at)
    return true;
  deadline_set(l, d, d->at);
  return false;
}

/* Before the memory goes. */
static inline void deadline_close(struct loop *l, struct deadline *d) {
  timer_cancel(l, &d->timer);
  d->at = USEC_NEVER;
}

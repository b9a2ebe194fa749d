#ifndef ENGINE_TIMER_H
#define ENGINE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One-shot timers in a heap: a stream's next token costs a few swaps and no allocation.
 * Times are CLOCK_MONOTONIC in microseconds. Owner: whoever embeds the timer; clear it first. */
struct timer {
  uint64_t at_us;
  size_t place; /* 1-based place in the heap, 0 when not set */
  void (*fire)(struct timer *t);
};

uint64_t timer_clock_us(void);
static inline bool timer_is_set(const struct timer *t) {
  return t->place != 0;
}
void timer_set(struct timer *t, uint64_t at_us);
void timer_clear(struct timer *t);
/* Milliseconds to the next timer, rounded up; -1 when there is none. */
int timer_wait_ms(uint64_t now_us);
void timer_run(uint64_t now_us);
void timer_free_all(void);

#endif

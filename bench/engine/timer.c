#include "timer.h"

#include <limits.h>
#include <stdlib.h>
#include <time.h>

enum { TIMER_MIN_CAPACITY = 256 };

static struct {
  struct timer **nodes;
  size_t count, capacity;
} heap;

uint64_t timer_clock_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void timer_put(struct timer *t, size_t place) {
  heap.nodes[place - 1] = t;
  t->place = place;
}

static void timer_sift_up(struct timer *t, size_t place) {
  for (; place > 1 && heap.nodes[place / 2 - 1]->at_us > t->at_us; place /= 2)
    timer_put(heap.nodes[place / 2 - 1], place);
  timer_put(t, place);
}

static void timer_sift_down(struct timer *t, size_t place) {
  for (size_t child; (child = place * 2) <= heap.count; place = child) {
    if (child < heap.count && heap.nodes[child]->at_us < heap.nodes[child - 1]->at_us)
      child++;
    if (heap.nodes[child - 1]->at_us >= t->at_us)
      break;
    timer_put(heap.nodes[child - 1], place);
  }
  timer_put(t, place);
}

static size_t timer_append(void) {
  if (heap.count == heap.capacity) {
    heap.capacity = heap.capacity ? heap.capacity * 2 : TIMER_MIN_CAPACITY;
    heap.nodes = realloc(heap.nodes, heap.capacity * sizeof(*heap.nodes));
    if (!heap.nodes)
      abort();
  }
  return ++heap.count;
}

void timer_set(struct timer *t, uint64_t at_us) {
  bool later = timer_is_set(t) && at_us >= t->at_us;
  size_t place = timer_is_set(t) ? t->place : timer_append();
  t->at_us = at_us;
  if (later)
    timer_sift_down(t, place);
  else
    timer_sift_up(t, place);
}

void timer_clear(struct timer *t) {
  if (!timer_is_set(t))
    return;
  size_t place = t->place;
  struct timer *last = heap.nodes[--heap.count];
  t->place = 0;
  if (last == t)
    return;
  if (last->at_us < t->at_us)
    timer_sift_up(last, place);
  else
    timer_sift_down(last, place);
}

int timer_wait_ms(uint64_t now_us) {
  if (!heap.count)
    return -1;
  uint64_t at_us = heap.nodes[0]->at_us;
  if (at_us <= now_us)
    return 0;
  uint64_t wait_ms = (at_us - now_us + 999) / 1000;
  return wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
}

/* A timer set again for "now" while this runs waits for the next turn: were it taken here, two
 * connections that only yield to each other would keep the loop from its sockets. */
void timer_run(uint64_t now_us) {
  while (heap.count && heap.nodes[0]->at_us < now_us) {
    struct timer *t = heap.nodes[0];
    timer_clear(t);
    t->fire(t);
  }
}

void timer_free_all(void) {
  free(heap.nodes);
  heap.nodes = NULL;
  heap.count = heap.capacity = 0;
}

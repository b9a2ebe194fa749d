#include "bench/load/slots.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/load/conn.h"
#include "bench/load/exchange.h"
#include "bench/load/load.h"
#include "bench/load/options.h"

static uint64_t started(const struct load *l) {
  uint64_t sum = 0;
  for (int i = 0; i < WORKLOAD_KINDS; i++)
    sum += l->tallies[i].started;
  return sum;
}

/* What was begun before the warm-up was over counts for itself. */
static bool requests_left(const struct load *l) {
  double most = l->options->requests;
  return most == 0 || !l->warm || (double)started(l) < most;
}

bool slots_finished(const struct load *l) {
  double most = l->options->requests;
  uint64_t ended = 0;
  if (most == 0 || !l->warm)
    return false;
  for (int i = 0; i < WORKLOAD_KINDS; i++)
    ended += tally_ended(&l->tallies[i]);
  return (double)ended >= most;
}

/* ---- closed loop ---- */

void slots_next(struct exchange *x) {
  struct load *l = x->load;
  if (!requests_left(l))
    return;
  exchange_begin(x, workload_draw(&l->workload, x->conn->version, &l->draw), l->now);
}

static void closed_open(struct load *l) {
  usec_t ramp_us = (usec_t)(l->options->ramp_s * USEC_PER_S);
  for (size_t i = 0; i < l->exchange_count; i++) {
    if (ramp_us)
      exchange_begin_later(&l->exchanges[i],
                           l->begin + ramp_us * (usec_t)i / (usec_t)l->exchange_count);
    else
      slots_next(&l->exchanges[i]);
  }
}

/* ---- open loop ---- */

static bool queue_push(struct load_queue *q, struct load_arrival a) {
  if (q->count == q->capacity) {
    size_t capacity = q->capacity ? q->capacity * 2 : 1024;
    struct load_arrival *more = capacity <= LOAD_QUEUE_MAX ? malloc(capacity * sizeof *more) : NULL;
    if (!more)
      return false;
    for (size_t i = 0; i < q->count; i++)
      more[i] = q->items[(q->head + i) % q->capacity];
    free(q->items);
    *q = (struct load_queue){.items = more, .count = q->count, .capacity = capacity};
  }
  q->items[(q->head + q->count++) % q->capacity] = a;
  return true;
}

static struct load_arrival queue_pop(struct load_queue *q) {
  struct load_arrival a = q->items[q->head];
  q->head = (q->head + 1) % q->capacity;
  q->count--;
  return a;
}

/* The last to become free is the next: its connection is there, and warm. */
static bool slot_take(struct load *l, int protocol, struct load_arrival a) {
  struct list *node = list_pop_front(&l->free_slots[protocol]);
  if (!node)
    return false;
  exchange_begin(container_of(node, struct exchange, node), a.row, a.at);
  return true;
}

/* Never sent, because nothing was free for too long. */
static void arrival_lost(struct load *l, struct load_arrival a) {
  l->tallies[a.row->kind].started++;
  l->tallies[a.row->kind].errors[ERROR_TIMEOUT]++;
}

static void arrive(struct load *l, usec_t at) {
  struct load_arrival a = {at, workload_draw(&l->workload, 0, &l->draw)};
  int protocol = a.row->protocol;
  if (l->workload.mixed_protocols && !protocol)
    protocol = 1 + (int)(draw_next(&l->draw) & 1);
  if (!slot_take(l, protocol, a) && !queue_push(&l->queues[protocol], a))
    arrival_lost(l, a);
}

static size_t queued(const struct load *l) {
  return l->queues[0].count + l->queues[1].count + l->queues[2].count;
}

static bool arrivals_left(const struct load *l) {
  double most = l->options->requests;
  return l->options->rate > 0 && (most == 0 || !l->warm || (double)(started(l) + queued(l)) < most);
}

void slots_arrive(struct load *l) {
  while (arrivals_left(l) && arrivals_due(&l->arrivals) <= l->now) {
    usec_t at = arrivals_due(&l->arrivals);
    arrivals_advance(&l->arrivals, &l->draw);
    arrive(l, at);
  }
}

static void slot_free(struct exchange *x) {
  struct load *l = x->load;
  struct load_queue *q = &l->queues[x->conn->version * l->workload.mixed_protocols];
  if (q->count) {
    struct load_arrival a = queue_pop(q);
    exchange_begin(x, a.row, a.at);
  } else {
    list_push_front(&l->free_slots[x->conn->version * l->workload.mixed_protocols], &x->node);
  }
}

/* In turn over the connections, so that the first requests do not all share one. */
static void open_open(struct load *l) {
  arrivals_begin(&l->arrivals, (enum arrivals_kind)l->options->arrivals, l->options->rate,
                 l->begin);
  for (size_t i = 0; i < l->exchange_count; i++) {
    struct exchange *x = &l->exchanges[i];
    list_push_back(&l->free_slots[x->conn->version * l->workload.mixed_protocols], &x->node);
  }
}

/* ---- both ---- */

void slots_open(struct load *l) {
  l->hold_left = l->options->hold ? l->exchange_count : 0;
  if (l->options->rate > 0)
    open_open(l);
  else
    closed_open(l);
}

void slots_ended(struct exchange *x, usec_t pause_us) {
  struct load *l = x->load;
  if (l->options->rate > 0)
    slot_free(x);
  else if (l->options->hold)
    return;
  else if (pause_us)
    exchange_begin_later(x, l->now + pause_us);
  else
    slots_next(x);
}

void slots_heard(struct exchange *x, bool good) {
  struct load *l = x->load;
  if (!l->options->hold || l->opened || x->heard)
    return;
  x->heard = true;
  if (!good)
    l->hold_failed++;
  if (--l->hold_left)
    return;
  l->opened = true;
  if (l->hold_failed)
    fprintf(stderr, "headrace bench: %zu of %zu requests could not be held open\n", l->hold_failed,
            l->exchange_count);
  puts("open");
  fflush(stdout);
  if (l->options->duration_s > 0)
    l->end = l->now + (usec_t)(l->options->duration_s * USEC_PER_S);
}

static usec_t timeout_us(const struct load *l) {
  return (usec_t)(l->options->timeout_s * USEC_PER_S);
}

static void queue_time_out(struct load *l, struct load_queue *q) {
  while (q->count && q->items[q->head].at + timeout_us(l) <= l->now)
    arrival_lost(l, queue_pop(q));
}

void slots_time_out(struct load *l) {
  if (timeout_us(l) == 0)
    return;
  while (!list_empty(&l->timeouts)) {
    struct exchange *x = container_of(l->timeouts.next, struct exchange, timeout_node);
    if (x->start + timeout_us(l) > l->now)
      break;
    exchange_time_out(x);
  }
  for (int i = 0; i < 3; i++)
    queue_time_out(l, &l->queues[i]);
}

usec_t slots_due(const struct load *l) {
  usec_t due = arrivals_left(l) ? arrivals_due(&l->arrivals) : USEC_NEVER;
  if (!list_empty(&l->timeouts)) {
    const struct exchange *x = container_of(l->timeouts.next, struct exchange, timeout_node);
    if (x->start + timeout_us(l) < due)
      due = x->start + timeout_us(l);
  }
  return due;
}

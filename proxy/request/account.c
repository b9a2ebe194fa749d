#include "proxy/request/account.h"

#include "lib/net/loop.h"
#include "proxy/request/fleet.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

/* A sequence lock with one writer, without fences: who sees a new number sees the odd
 * serial that was written before it. Readers try again when the serial moved. */
static void publish(cell_t *c, int64_t value) {
  atomic_store_explicit(c, value, memory_order_release);
}

static int64_t observe(const cell_t *c) {
  return atomic_load_explicit(c, memory_order_acquire);
}

static void cell_open(struct endpoint_cell *c, usec_t now) {
  cell_add(&c->serial, 1);
  usec_t passed = now - cell_get(&c->at_us);
  publish(&c->pending_us, cell_get(&c->pending_us) + cell_get(&c->pending) * passed);
  publish(&c->held_us, cell_get(&c->held_us) + cell_get(&c->held) * passed);
  publish(&c->open_us, cell_get(&c->open_us) + cell_get(&c->open) * passed);
  publish(&c->at_us, now);
}

static void cell_shut(struct endpoint_cell *c) {
  publish(&c->serial, cell_get(&c->serial) + 1);
}

static void change(struct request *r, int pending, int held, int open) {
  struct endpoint_cell *c = r->endpoint->cell;
  cell_open(c, loop_now(r->worker->loop));
  publish(&c->pending, cell_get(&c->pending) + pending);
  publish(&c->held, cell_get(&c->held) + held);
  publish(&c->open, cell_get(&c->open) + open);
  cell_shut(c);
}

void account_pending(struct request *r) {
  if (r->phase != PHASE_NEW)
    return;
  r->phase = PHASE_PENDING;
  cell_add(&r->endpoint->cell->requests_total, 1);
  change(r, 1, 0, 0);
}

void account_held(struct request *r, bool held) {
  if (r->held == held)
    return;
  usec_t now = loop_now(r->worker->loop);
  r->held = held;
  if (held)
    r->held_since_us = now;
  else
    r->hold_us += now - r->held_since_us;
  change(r, 0, held ? 1 : -1, 0);
}

void account_open(struct request *r) {
  if (r->phase != PHASE_PENDING)
    return;
  r->phase = PHASE_OPEN;
  change(r, -1, 0, 1);
}

void account_replay(struct request *r) {
  cell_add(&r->endpoint->cell->replays, 1);
}

static void latency_add(struct latency_cell *l, usec_t us) {
  int i = 0;
  while (i < LATENCY_BUCKETS - 1 && us > latency_bounds_ms[i] * USEC_PER_MS)
    i++;
  cell_add(&l->buckets[i], 1);
  cell_add(&l->sum_us, us);
}

static void account_ending(struct request *r) {
  struct endpoint_cell *c = r->endpoint->cell;
  int class = r->status / 100;
  cell_add(&c->statuses[class >= 1 && class <= 5 ? class : 0], 1);
  cell_add(&c->endings[r->ending], 1);
  cell_add(&c->request_bytes, (int64_t)r->request_pipe.total);
  cell_add(&c->response_bytes, (int64_t)r->response_pipe.total);
  if (r->hold_us)
    latency_add(&c->hold, r->hold_us);
  if (r->first_byte_us)
    latency_add(&c->first_byte, r->first_byte_us - r->begun_us);
  latency_add(&c->total, loop_now(r->worker->loop) - r->begun_us);
}

void account_over(struct request *r) {
  if (!r->endpoint || r->phase == PHASE_OVER)
    return;
  account_held(r, false);
  if (r->phase == PHASE_PENDING)
    change(r, -1, 0, 0);
  else if (r->phase == PHASE_OPEN)
    change(r, 0, 0, -1);
  r->phase = PHASE_OVER;
  account_ending(r);
}

void account_read(const struct endpoint_cell *c, usec_t now, struct account_sum *add) {
  struct account_sum s;
  int64_t serial;
  do {
    serial = observe(&c->serial);
    s = (struct account_sum){
        .pending = observe(&c->pending),
        .held = observe(&c->held),
        .open = observe(&c->open),
    };
    usec_t at = observe(&c->at_us), passed = now > at ? now - at : 0;
    s.pending_us = observe(&c->pending_us) + s.pending * passed;
    s.held_us = observe(&c->held_us) + s.held * passed;
    s.open_us = observe(&c->open_us) + s.open * passed;
  } while ((serial & 1) || serial != cell_get(&c->serial));
  add->pending += s.pending;
  add->held += s.held;
  add->open += s.open;
  add->pending_us += s.pending_us;
  add->held_us += s.held_us;
  add->open_us += s.open_us;
  add->waiting += cell_get(&c->waiting);
  add->requests_total += cell_get(&c->requests_total);
}

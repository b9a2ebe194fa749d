/* What a proxy says of its load. One record for each endpoint with requests, each refresh; at
 * once, but not too often, when a request wants a replica. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fleet/load.h"
#include "proxy/config/config.h"
#include "proxy/edge_own.h"
#include "proxy/worker.h"
#include "proxy/request/account.h"
#include "proxy/shares.h"

enum { WANTED_APART_US = 25 * 1000 };

/* The oldest version of the endpoint that a worker goes by, of those that still work. To be read
 * before the requests at its replicas: none can come to them by an older one afterwards. */
static int64_t version_seen(const struct edge *edge, const struct edge_endpoint *e) {
  int64_t oldest = e->record ? e->record->version : INT64_MAX;
  for (int i = 0; i < edge->worker_count; i++) {
    if (worker_left(edge->workers[i]))
      continue;
    int64_t v = atomic_load_explicit(&e->shared->cells[i].version, memory_order_acquire);
    oldest = v < oldest ? v : oldest;
  }
  return oldest;
}

static void replicas_fill(const struct edge *edge, const struct edge_endpoint *e,
                          struct load_record *r) {
  for (int i = 0; e->record && i < e->record->replica_count; i++) {
    int64_t active = 0;
    for (int k = 0; k < edge->worker_count; k++)
      active += cell_get(&e->replicas[i]->cells[k].active);
    if (!active)
      continue;
    struct load_replica *l = &r->replicas[r->replica_count++];
    strcpy(l->id, e->replicas[i]->id);
    l->active = active;
  }
}

static void load_fill(const struct edge *edge, struct edge_endpoint *e, struct load_record *r) {
  usec_t now = clock_mono();
  struct account_sum sum = {0};
  int64_t seen = version_seen(edge, e);
  for (int i = 0; i < edge->worker_count; i++)
    account_read(&e->shared->cells[i], now, &sum);
  *r = (struct load_record){.incarnation = edge->incarnation,
                            .at_us = now,
                            .pending = sum.pending,
                            .held = sum.held,
                            .open = sum.open,
                            .pending_us = sum.pending_us,
                            .held_us = sum.held_us,
                            .open_us = sum.open_us,
                            .requests_total = sum.requests_total,
                            .requests_before = e->requests_said,
                            .seen = seen,
                            .replicas = r->replicas};
  strcpy(r->endpoint, e->shared->name);
  snprintf(r->proxy, sizeof r->proxy, "%s", edge->id);
  if (sum.waiting && !e->wanted_since_ms)
    e->wanted_since_ms = clock_wall() / 1000;
  if (!sum.waiting)
    e->wanted_since_ms = 0;
  r->wanted_ms = e->wanted_since_ms;
  replicas_fill(edge, e, r);
}

/* Somebody counts on hearing that a draining replica is left. */
static bool has_draining(const struct edge_endpoint *e) {
  for (int i = 0; e->record && i < e->record->replica_count; i++)
    if (e->record->replicas[i].state == REPLICA_DRAINING)
      return true;
  return false;
}

/* While the store is away, what we have is ours. */
static void ask_for_places(struct edge *edge, const struct edge_endpoint *e) {
  const struct store *s = edge->store;
  if (!s->alone && s->link.up && e->record && e->record->def->concurrency_max)
    shares_of_replicas(edge->store, e->shared, e->record, e->replicas);
}

/* Where nobody is, that is said once; then nothing is, and the record runs out. */
static void publish(struct edge *edge, struct edge_endpoint *e, bool urgent) {
  static struct load_replica replicas[REPLICAS_PER_ENDPOINT_MAX]; /* main thread only */
  struct load_record r = {.replicas = replicas};
  atomic_store(&e->shared->wanted, false);
  e->published_us = loop_now(edge->loop);
  load_fill(edge, e, &r);
  bool busy = r.pending || r.open || r.wanted_ms || r.replica_count || has_draining(e) ||
              r.requests_total != e->requests_said;
  if (busy || !e->silent)
    ask_for_places(edge, e);
  if (!busy && e->silent)
    return;
  bool said = store_put_load(edge->store, &r, urgent) == OK;
  e->silent = said && !busy;
  if (said)
    e->requests_said = r.requests_total;
  else
    e->published_us = 0; /* the next refresh tries again */
}

static void ask_for_tokens(struct edge *edge) {
  usec_t now = loop_now(edge->loop);
  if (!edge->store->alone && now > edge->tokens_us)
    shares_of_tokens(edge->store, edge->tokens, now - edge->tokens_us);
  edge->tokens_us = now;
}

void edge_publish_all(struct timer *t) {
  struct edge *edge = container_of(t, struct edge, publish_timer);
  size_t at = 0;
  struct edge_endpoint *e;
  while ((e = map_next(&edge->endpoints, &at)))
    publish(edge, e, false);
  ask_for_tokens(edge);
  if (timer_set(edge->loop, t, loop_now(edge->loop) + edge->config->refresh_ms * USEC_PER_MS) != OK)
    abort();
}

/* At once, but at most once in 25 ms for each. */
static void publish_wanted(struct edge *edge) {
  usec_t now = loop_now(edge->loop);
  size_t at = 0;
  struct edge_endpoint *e;
  while ((e = map_next(&edge->endpoints, &at))) {
    if (!atomic_load(&e->shared->wanted))
      continue;
    if (now - e->published_us >= WANTED_APART_US)
      publish(edge, e, true);
    else if (!heap_has(&edge->wanted_timer.node) &&
             timer_set(edge->loop, &edge->wanted_timer, e->published_us + WANTED_APART_US) != OK)
      publish(edge, e, true);
  }
}

static void wanted_due(struct timer *t) {
  publish_wanted(container_of(t, struct edge, wanted_timer));
}

static void wanted_came(struct mail *m) {
  struct edge *edge = container_of(m, struct edge, wanted_mail);
  atomic_store(&edge->wanted_sent, false);
  publish_wanted(edge);
}

void edge_wanted(struct process *p, struct endpoint_shared *e) {
  struct edge *edge = container_of(p, struct edge, process);
  atomic_store(&e->wanted, true);
  if (!atomic_exchange(&edge->wanted_sent, true))
    loop_send(edge->loop, &edge->wanted_mail);
}

void edge_publish_open(struct edge *edge) {
  edge->wanted_mail.deliver = wanted_came;
  timer_init(&edge->publish_timer, edge_publish_all);
  timer_init(&edge->wanted_timer, wanted_due);
}

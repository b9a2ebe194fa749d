#include "scheduler/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"
#include "lib/store/store.h"
#include "scheduler/config.h"
#include "scheduler/endpoint.h"

enum { STEP_US = 50 * 1000, ENDPOINTS_MAX = 100000 };

struct scheduler {
  struct loop *loop;
  struct store *store;
  const struct scheduler_config *config;
  struct map endpoints; /* name -> scheduled */
  struct store_watch watch;
  struct timer timer;
  usec_t decide_at;
  bool stopping;
  void (*done)(void *user);
  void *user;
};

static void each(struct scheduler *s, void (*run)(struct scheduled *e, usec_t now)) {
  size_t at = 0;
  struct scheduled *e;
  while ((e = map_next(&s->endpoints, &at)))
    run(e, loop_now(s->loop));
}

static int replicas_left(const struct scheduler *s) {
  size_t at = 0;
  int n = 0;
  struct scheduled *e;
  while ((e = map_next(&s->endpoints, &at)))
    n += e->replica_count;
  return n;
}

static void step(struct timer *t) {
  struct scheduler *s = container_of(t, struct scheduler, timer);
  usec_t now = loop_now(s->loop);
  if (now >= s->decide_at && !s->stopping) {
    s->decide_at = now + s->config->tick_ms * USEC_PER_MS;
    each(s, scheduled_decide);
  }
  each(s, scheduled_reconcile);
  if (s->stopping && replicas_left(s) == 0) {
    s->done(s->user);
    return;
  }
  if (timer_set(s->loop, &s->timer, now + STEP_US) != OK)
    abort(); /* nothing would run any more */
}

/* A waiter is not kept waiting for the next tick. */
static void load_came(void *user, const struct load_record *r) {
  struct scheduler *s = user;
  struct scheduled *e = map_get(&s->endpoints, slice_str(r->endpoint));
  if (!e)
    return;
  bool new_requests = e->policy.started && r->requests_total > e->policy.requests_seen;
  scheduled_load(e, r);
  if (s->stopping || e->desired || !(r->wanted_ms || new_requests))
    return;
  scheduled_decide(e, loop_now(s->loop));
  scheduled_reconcile(e, loop_now(s->loop));
}

static void load_went(void *user, const char *endpoint, const char *proxy) {
  struct scheduler *s = user;
  struct scheduled *e = map_get(&s->endpoints, slice_str(endpoint));
  if (e)
    scheduled_load_gone(e, proxy);
}

static enum err add(struct scheduler *s, struct endpoint_def *def, scheduler_log_fn log,
                    void *user) {
  struct scheduled *e = scheduled_new(def, s->loop, s->store, s->config);
  if (!e)
    return ERR_MEMORY;
  e->log = log;
  e->user = user;
  enum err err = map_put(&s->endpoints, slice_str(def->name), e);
  if (err)
    scheduled_free(e);
  return err;
}

struct scheduler *scheduler_new(struct loop *loop, struct store *store,
                                const struct scheduler_config *config, struct endpoint_def **defs,
                                int count, scheduler_log_fn log, void *user) {
  struct scheduler *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  *s = (struct scheduler){.loop = loop, .store = store, .config = config};
  map_init(&s->endpoints, ENDPOINTS_MAX);
  s->watch = (struct store_watch){.user = s, .load = load_came, .load_gone = load_went};
  timer_init(&s->timer, step);
  enum err e = OK;
  for (int i = 0; !e && i < count; i++)
    e = add(s, defs[i], log, user);
  if (!e)
    e = timer_set(loop, &s->timer, loop_now(loop));
  store_watch(store, &s->watch);
  return e ? scheduler_free(s) : s;
}

void scheduler_stop(struct scheduler *s, void (*done)(void *user), void *user) {
  s->stopping = true;
  s->done = done;
  s->user = user;
  size_t at = 0;
  struct scheduled *e;
  while ((e = map_next(&s->endpoints, &at)))
    scheduled_stop(e);
}

struct scheduler *scheduler_free(struct scheduler *s) {
  if (!s)
    return NULL;
  store_unwatch(s->store, &s->watch);
  timer_cancel(s->loop, &s->timer);
  size_t at = 0;
  struct scheduled *e;
  while ((e = map_next(&s->endpoints, &at)))
    scheduled_free(e);
  map_clear(&s->endpoints);
  free(s);
  return NULL;
}

bool scheduler_explain(struct scheduler *s, const char *endpoint, bool json, struct buf *out) {
  struct scheduled *e = map_get(&s->endpoints, slice_str(endpoint));
  if (e)
    scheduled_explain(e, json, out);
  return e != NULL;
}

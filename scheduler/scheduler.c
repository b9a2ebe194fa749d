#include "scheduler/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"
#include "lib/fleet/load.h"
#include "lib/store/store.h"
#include "scheduler/config.h"
#include "scheduler/endpoint.h"

enum { STEP_US = 50 * 1000, ENDPOINTS_MAX = 100000 };

struct scheduler {
  struct scheduling all;
  struct map endpoints; /* name -> scheduled */
  struct store_watch watch;
  struct timer timer;
  usec_t decide_at, lease_us;
  bool stopping;
  void (*done)(void *user);
  void *user;
};

static void each(struct scheduler *s, void (*run)(struct scheduled *e, usec_t now)) {
  size_t at = 0;
  struct scheduled *e;
  while ((e = map_next(&s->endpoints, &at)))
    run(e, loop_now(s->all.loop));
}

static int replicas_left(const struct scheduler *s) {
  size_t at = 0;
  int n = 0;
  struct scheduled *e;
  while ((e = map_next(&s->endpoints, &at)))
    n += e->replica_count;
  return n;
}

static void work(struct scheduler *s, usec_t now) {
  if (!s->all.leading && !s->stopping) {
    each(s, scheduled_yield);
    return;
  }
  if (now >= s->decide_at && !s->stopping && !s->all.blind) {
    s->decide_at = now + s->all.config->tick_ms * USEC_PER_MS;
    each(s, scheduled_decide);
  }
  each(s, scheduled_reconcile);
}

/* What has left the configuration goes when its last replica has. */
static bool reap_one(struct scheduler *s) {
  size_t at = 0;
  struct scheduled *e;
  while ((e = map_next(&s->endpoints, &at)))
    if (e->removed && e->replica_count == 0) {
      enum err err = store_put_endpoint(s->all.store, e->name, NULL);
      if (err && err != ERR_ABSENT)
        return false; /* the next step tries again */
      map_remove(&s->endpoints, slice_str(e->name));
      scheduled_free(e);
      return true;
    }
  return false;
}

static void step(struct timer *t) {
  struct scheduler *s = container_of(t, struct scheduler, timer);
  usec_t now = loop_now(s->all.loop);
  work(s, now);
  while (s->all.leading && !s->all.blind && !s->stopping && reap_one(s))
    ;
  if (s->stopping && replicas_left(s) == 0) {
    s->done(s->user);
    return;
  }
  if (timer_set(s->all.loop, &s->timer, now + STEP_US) != OK)
    abort(); /* nothing would run any more */
}

/* A waiter is not kept waiting for the next tick. */
static void load_came(void *user, const struct load_record *r) {
  struct scheduler *s = user;
  struct scheduled *e = map_get(&s->endpoints, slice_str(r->endpoint));
  if (!e)
    return;
  scheduled_load(e, r);
  bool new_requests = e->policy.started && e->loads.requests_total > e->policy.requests_seen;
  if (s->stopping || !s->all.leading || s->all.blind || e->desired ||
      !(r->wanted_ms || new_requests))
    return;
  scheduled_decide(e, loop_now(s->all.loop));
  scheduled_reconcile(e, loop_now(s->all.loop));
}

static void load_went(void *user, const char *endpoint, const char *proxy) {
  struct scheduler *s = user;
  struct scheduled *e = map_get(&s->endpoints, slice_str(endpoint));
  if (e)
    scheduled_load_gone(e, proxy);
}

static void proxies_forget(struct scheduling *all) {
  for (int i = 0; i < all->proxy_count; i++)
    free(all->proxies[i]);
  free(all->proxies);
  all->proxies = NULL;
  all->proxy_count = 0;
}

static void loads_came(void *user, const char *const *proxies, int count) {
  struct scheduler *s = user;
  proxies_forget(&s->all);
  s->all.proxies = calloc((size_t)count + 1, sizeof *s->all.proxies);
  for (int i = 0; s->all.proxies && i < count; i++)
    if ((s->all.proxies[s->all.proxy_count] = strdup(proxies[i])))
      s->all.proxy_count++;
}

static enum err add(struct scheduler *s, struct endpoint_def *def) {
  struct scheduled *e = scheduled_new(def, &s->all);
  if (!e)
    return ERR_MEMORY;
  enum err err = map_put(&s->endpoints, slice_str(e->name), e);
  if (err)
    scheduled_free(e);
  return err;
}

/* Our own come back to us, too; only somebody else's are news. */
static void endpoint_came(void *user, const struct endpoint_record *r) {
  struct scheduler *s = user;
  if (s->all.leading)
    return;
  struct scheduled *e = map_get(&s->endpoints, slice_str(r->def->name));
  if (!e && add(s, r->def) == OK) {
    e = map_get(&s->endpoints, slice_str(r->def->name));
    e->removed = true; /* it is not in our configuration */
  }
  if (e)
    scheduled_found(e, r);
}

static void mark_dirty(struct scheduled *e, usec_t now) {
  e->dirty = true;
}

/* Told again when the store may have forgotten what was said. */
static void lead_changed(void *user, int64_t fence) {
  struct scheduler *s = user;
  bool before = s->all.leading;
  s->all.leading = fence > 0;
  if (!s->all.leading) {
    s->all.log(s->all.user, "scheduler", "stands by: another one leads");
    return;
  }
  if (!before) {
    s->all.log(s->all.user, "scheduler", "leads");
    each(s, scheduled_take_over);
  }
  each(s, mark_dirty);
  if (!s->stopping)
    work(s, loop_now(s->all.loop));
}

/* While the store is away, nothing is known: nothing is done. When it is back, proxies may come
 * later than we: for one lease nothing is taken down. */
static void link_changed(void *user, const struct store_link *link) {
  struct scheduler *s = user;
  bool was_blind = s->all.blind;
  s->all.blind = !link->up;
  if (!link->up || !was_blind)
    return;
  s->all.settled_from = loop_now(s->all.loop) + s->lease_us;
}

struct scheduler *scheduler_new(struct loop *loop, struct store *store,
                                const struct scheduler_config *config, int64_t lease_ms,
                                struct endpoint_def **defs, int count, scheduler_log_fn log,
                                void *user) {
  struct scheduler *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  *s = (struct scheduler){
      .all = {.loop = loop, .store = store, .config = config, .log = log, .user = user},
      .lease_us = lease_ms * USEC_PER_MS};
  map_init(&s->endpoints, ENDPOINTS_MAX);
  s->watch = (struct store_watch){.user = s,
                                  .endpoint = endpoint_came,
                                  .load = load_came,
                                  .load_gone = load_went,
                                  .loads_known = loads_came,
                                  .lead = lead_changed,
                                  .link = link_changed};
  timer_init(&s->timer, step);
  enum err e = OK;
  for (int i = 0; !e && i < count; i++)
    e = add(s, defs[i]);
  if (!e)
    e = timer_set(loop, &s->timer, loop_now(loop));
  store_watch(store, &s->watch);
  store_lead(store);
  return e ? scheduler_free(s) : s;
}

enum err scheduler_prepare(struct scheduler *s, struct endpoint_def **defs, int count) {
  enum err e = OK;
  for (int i = 0; !e && i < count; i++) {
    if (map_get(&s->endpoints, slice_str(defs[i]->name)))
      continue;
    e = add(s, defs[i]);
    struct scheduled *new = map_get(&s->endpoints, slice_str(defs[i]->name));
    if (new)
      new->removed = true; /* until it is there in earnest */
  }
  return e;
}

static struct endpoint_def *def_find(struct endpoint_def **defs, int count, const char *name) {
  for (int i = 0; i < count; i++)
    if (strcmp(defs[i]->name, name) == 0)
      return defs[i];
  return NULL;
}

void scheduler_reload(struct scheduler *s, struct endpoint_def **defs, int count) {
  usec_t now = loop_now(s->all.loop);
  size_t at = 0;
  struct scheduled *e;
  while ((e = map_next(&s->endpoints, &at))) {
    struct endpoint_def *def = def_find(defs, count, e->name);
    if (def)
      scheduled_change(e, def, now);
    else
      scheduled_remove(e, now);
  }
  if (!s->stopping)
    work(s, now);
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

enum err scheduler_hand_over(struct scheduler *s, const char *heir, void (*done)(void *user),
                             void *user) {
  if (s->all.blind)
    return ERR_CLOSED;
  each(s, scheduled_hand_over);
  store_follow(s->all.store, heir);
  s->stopping = true;
  s->all.leading = false;
  s->done = done;
  s->user = user;
  return OK;
}

struct scheduler *scheduler_free(struct scheduler *s) {
  if (!s)
    return NULL;
  store_unwatch(s->all.store, &s->watch);
  timer_cancel(s->all.loop, &s->timer);
  size_t at = 0;
  struct scheduled *e;
  while ((e = map_next(&s->endpoints, &at)))
    scheduled_free(e);
  map_clear(&s->endpoints);
  proxies_forget(&s->all);
  free(s);
  return NULL;
}

bool scheduler_leads(const struct scheduler *s) {
  return s->all.leading;
}

bool scheduler_explain(struct scheduler *s, const char *endpoint, bool json, struct buf *out) {
  struct scheduled *e = map_get(&s->endpoints, slice_str(endpoint));
  if (e)
    scheduled_explain(e, json, out);
  return e != NULL;
}

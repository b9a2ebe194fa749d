#include "proxy/edge_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/recent.h"
#include "lib/fleet/token.h"
#include "lib/store/store.h"
#include "proxy/client/crowd.h"
#include "proxy/config/config.h"
#include "proxy/door.h"
#include "proxy/file.h"
#include "proxy/log_file.h"
#include "proxy/request/request.h"
#include "proxy/shares.h"
#include "proxy/steps/access.h"
#include "proxy/steps/pace.h"
#include "proxy/worker.h"

enum { STOP_LOOK_US = 20 * 1000, WORKERS_MAX = 256 };
/* edge_open_late: after this. */
enum { DOORS_LATE_US = 2 * 1000 * 1000 };

static void replicas_drop(struct edge_endpoint *e) {
  for (int i = 0; e->record && i < e->record->replica_count; i++)
    replica_shared_unref(e->replicas[i]);
  free(e->replicas);
  e->replicas = NULL;
  e->record = endpoint_record_free(e->record);
}

static void endpoint_drop(struct edge_endpoint *e) {
  replicas_drop(e);
  endpoint_shared_unref(e->shared);
  free(e);
}

static struct edge_endpoint *endpoint_find(struct edge *edge, const char *name) {
  struct edge_endpoint *e = map_get(&edge->endpoints, slice_str(name));
  if (e)
    return e;
  e = calloc(1, sizeof *e);
  if (!e)
    return NULL;
  e->shared = endpoint_shared_new(name, edge->worker_count);
  if (e->shared && map_put(&edge->endpoints, slice_str(e->shared->name), e) == OK)
    return e;
  endpoint_drop(e);
  return NULL;
}

static struct replica_shared *shared_find(const struct edge_endpoint *e, const char *id) {
  for (int i = 0; e->record && i < e->record->replica_count; i++)
    if (strcmp(e->replicas[i]->id, id) == 0)
      return e->replicas[i];
  return NULL;
}

/* Of places that are shared we have none until some are given to us. */
static struct replica_shared *shared_for(struct edge *edge, struct edge_endpoint *e, const char *id,
                                         int64_t concurrency_max) {
  struct replica_shared *r = shared_find(e, id);
  if (r && r->concurrency_max == concurrency_max)
    return replica_shared_ref(r);
  if (r)
    replica_shared_limit(replica_shared_ref(r), concurrency_max);
  else
    r = replica_shared_new(id, concurrency_max, edge->worker_count);
  if (r && edge->store->alone)
    atomic_store(&r->room, concurrency_max);
  else if (r && edge->store->link.up)
    atomic_store(&r->room, 0);
  else if (r)
    shares_alone(r, edge->store->link.proxies);
  return r;
}

/* What the store says now, in place of what it said before. */
static enum err take_record(struct edge *edge, struct edge_endpoint *e,
                            const struct endpoint_record *r) {
  struct endpoint_record *record = endpoint_record_copy(r);
  struct replica_shared **shared = calloc((size_t)r->replica_count + 1, sizeof(*shared));
  enum err err = record && shared ? OK : ERR_MEMORY;
  for (int i = 0; !err && i < r->replica_count; i++) {
    shared[i] = shared_for(edge, e, r->replicas[i].id, r->def->concurrency_max);
    err = shared[i] ? OK : ERR_MEMORY;
  }
  if (err) {
    for (int i = 0; shared && i < r->replica_count && shared[i]; i++)
      replica_shared_unref(shared[i]);
    free(shared);
    endpoint_record_free(record);
    return err;
  }
  replicas_drop(e);
  e->record = record;
  e->replicas = shared;
  return OK;
}

static struct fleet_news *news_of(const struct edge_endpoint *e, const char *name, bool gone) {
  struct fleet_news *n = calloc(1, sizeof *n);
  if (!n)
    return NULL;
  snprintf(n->name, sizeof n->name, "%s", name);
  n->shared = endpoint_shared_ref(e->shared);
  if (gone)
    return n;
  n->record = endpoint_record_copy(e->record);
  n->replicas = calloc((size_t)e->record->replica_count + 1, sizeof(*n->replicas));
  if (!n->record || !n->replicas)
    return fleet_news_free(n);
  for (int i = 0; i < e->record->replica_count; i++)
    n->replicas[i] = replica_shared_ref(e->replicas[i]);
  return n;
}

static void tell_workers(struct edge *edge, const struct edge_endpoint *e, const char *name,
                         bool gone) {
  for (int i = 0; i < edge->worker_count; i++) {
    struct fleet_news *n = worker_left(edge->workers[i]) ? NULL : news_of(e, name, gone);
    if (n && worker_news(edge->workers[i], n) != OK)
      fleet_news_free(n);
  }
}

/* After the workers' mail, so that a grant finds its replica known. */
static void tell_queue(const struct edge_endpoint *e) {
  struct replica_shared *ready[REPLICAS_PER_ENDPOINT_MAX];
  int count = 0;
  for (int i = 0; i < e->record->replica_count; i++)
    if (e->record->replicas[i].state == REPLICA_READY)
      ready[count++] = e->replicas[i];
  if (hold_queue_set_ready(e->shared->hold, ready, count) != OK)
    abort(); /* waiters would wait for ever */
}

static void endpoint_came(void *user, const struct endpoint_record *r) {
  struct edge *edge = user;
  struct edge_endpoint *e = endpoint_find(edge, r->def->name);
  if (!e || take_record(edge, e, r) != OK)
    return;
  tell_workers(edge, e, r->def->name, false);
  tell_queue(e);
  if (edge->process.shares && hold_queue_count(e->shared->hold)) /* who waits needs places there */
    edge_wanted(&edge->process, e->shared);
}

static void endpoint_went(void *user, const char *name) {
  struct edge *edge = user;
  struct edge_endpoint *e = map_get(&edge->endpoints, slice_str(name));
  if (!e)
    return;
  tell_workers(edge, e, name, true);
  map_remove(&edge->endpoints, slice_str(name));
  endpoint_drop(e);
}

static void doors_enter(struct edge *edge) {
  if (!edge->doors_open)
    doors_listen(edge->doors);
  for (int i = 0; !edge->doors_open && i < edge->worker_count; i++) {
    struct worker_change *c = worker_change_new(edge->workers[i], NULL, edge->doors, true);
    if (!c)
      abort(); /* nobody would be let in */
    worker_change_send(c);
  }
  edge->doors_open = true;
}

static void open_doors(struct edge *edge) {
  for (int i = 0; i < edge->worker_count; i++)
    if (worker_known(edge->workers[i], edge->known) != OK)
      abort(); /* nobody would be served */
  doors_enter(edge);
}

/* Who connects before that waits a moment, rather than hear that we know nothing. */
static void look_whether_known(struct edge *edge) {
  if (edge->known || !edge->endpoints_known || !edge->tokens)
    return;
  edge->known = true;
  timer_cancel(edge->loop, &edge->doors_timer);
  open_doors(edge);
}

static void doors_late(struct timer *t) {
  open_doors(container_of(t, struct edge, doors_timer));
}

void edge_open_late(struct edge *edge) {
  usec_t at = loop_now(edge->loop) + DOORS_LATE_US;
  if (!edge->known && timer_set(edge->loop, &edge->doors_timer, at) != OK)
    abort(); /* nobody would be let in */
}

static void endpoints_known(void *user) {
  struct edge *edge = user;
  edge->endpoints_known = true;
  look_whether_known(edge);
}

static struct replica_shared *quota_replica(struct edge *edge, const char *name,
                                            struct edge_endpoint **of) {
  const char *endpoint = strchr(name, ':'), *slash = strchr(name, '/');
  if (!endpoint || !slash || slash < endpoint)
    return NULL;
  endpoint++;
  *of = map_get(&edge->endpoints, slice_of(endpoint, (size_t)(slash - endpoint)));
  return *of ? shared_find(*of, slash + 1) : NULL;
}

static void quota_came(void *user, const char *name, double allowed) {
  struct edge *edge = user;
  struct edge_endpoint *e;
  if (shares_give_token(edge->tokens, name, allowed))
    return;
  struct replica_shared *r = quota_replica(edge, name, &e);
  if (!r)
    return;
  bool again = shares_give_places(r, allowed);
  hold_queue_look(e->shared->hold);
  if (again)
    edge_wanted(&edge->process, e->shared);
}

static void tell_tokens(struct edge *edge, struct token_set *set) {
  for (int i = 0; i < edge->worker_count; i++)
    if (worker_tokens(edge->workers[i], set) != OK)
      abort(); /* a revoked token would live on */
}

/* The store has been away for too long: who was revoked meanwhile? */
static void tokens_too_old(struct timer *t) {
  struct edge *edge = container_of(t, struct edge, stale_timer);
  edge->tokens_stale = true;
  tell_tokens(edge, NULL);
}

static void tokens_away(struct edge *edge, usec_t since) {
  int64_t most_s = edge->config->token_stale_max_s;
  if (most_s && timer_set(edge->loop, &edge->stale_timer, since + most_s * USEC_PER_S) != OK)
    abort();
}

static void tokens_back(struct edge *edge) {
  timer_cancel(edge->loop, &edge->stale_timer);
  if (edge->tokens_stale)
    tell_tokens(edge, edge->tokens);
  edge->tokens_stale = false;
}

/* How long they are believed may have changed while nobody can say which are good. */
static void tokens_look_again(struct edge *edge) {
  if (edge->store->link.up)
    return;
  usec_t since = edge->store->link.since_us;
  int64_t most_s = edge->config->token_stale_max_s;
  if (!most_s || since + most_s * USEC_PER_S > loop_now(edge->loop))
    tokens_back(edge);
  if (!edge->tokens_stale)
    tokens_away(edge, since);
}

static void tokens_came(void *user, struct token_set *set) {
  struct edge *edge = user;
  if (token_set_meter(set, edge->tokens) != OK)
    return; /* the next change tries again */
  token_set_unref(edge->tokens);
  edge->tokens = token_set_ref(set);
  if (!edge->store->alone)
    shares_new_tokens(set, edge->store->link.proxies);
  tell_tokens(edge, set);
  look_whether_known(edge);
}

/* Everyone for himself, with an even share, until the store is back; then all that there is
 * is said anew. */
static void link_changed(void *user, const struct store_link *link) {
  struct edge *edge = user;
  size_t at = 0;
  struct edge_endpoint *e;
  while ((e = map_next(&edge->endpoints, &at))) {
    e->silent = false;
    for (int i = 0; !link->up && e->record && i < e->record->replica_count; i++)
      if (e->replicas[i]->concurrency_max)
        shares_alone(e->replicas[i], link->proxies);
    if (!link->up)
      hold_queue_look(e->shared->hold);
  }
  link->up ? tokens_back(edge) : tokens_away(edge, link->since_us);
  if (!link->up)
    shares_alone_tokens(edge->tokens, link->proxies);
  else if (timer_set(edge->loop, &edge->publish_timer, loop_now(edge->loop)) != OK)
    abort();
}

static enum err workers_open(struct edge *edge, struct handed *handed, struct buf *why) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  int count = edge->config->workers ? (int)edge->config->workers : cores > 0 ? (int)cores : 1;
  if (count > WORKERS_MAX)
    count = WORKERS_MAX;
  enum err e = doors_open(edge->config, count, NULL, handed, &edge->doors, why);
  if (e)
    return e;
  size_t bytes = sizeof *edge->cells * (size_t)count;
  edge->cells = aligned_alloc(CELL_ALIGN, bytes);
  edge->workers = calloc((size_t)count, sizeof(*edge->workers));
  if (!edge->cells || !edge->workers)
    return ERR_MEMORY;
  memset(edge->cells, 0, bytes);
  edge->process.worker_count = count;
  for (int i = 0; !e && i < count; i++) {
    e = worker_new(&edge->process, i, &edge->cells[i], edge->log_fd, &edge->workers[i]);
    edge->worker_count += !e;
  }
  return e;
}

static enum err edge_open(struct edge *edge, struct handed *handed, struct buf *why) {
  edge->incarnation = clock_wall() / 1000;
  edge->process.pace =
      pace_new(edge->config->pace_window_s * USEC_PER_S, edge->config->paced_requests_max);
  edge->process.crowd = crowd_new();
  edge->process.auth_failures = recent_new(ACCESS_FAILURES_SETS);
  bool good = edge->process.pace && edge->process.crowd && edge->process.auth_failures;
  enum err e = good ? log_file_open(edge->config->log.access, &edge->log_fd, why) : ERR_MEMORY;
  if (!e)
    e = workers_open(edge, handed, why);
  for (int i = 0; !e && i < edge->worker_count; i++)
    e = worker_start(edge->workers[i]);
  if (!e)
    e = timer_set(edge->loop, &edge->publish_timer, loop_now(edge->loop));
  if (e && why->len == 0)
    buf_str(why, "out of memory");
  return e;
}

enum err edge_new(struct loop *loop, struct store *store, const struct config *config,
                  const char *id, struct handed *handed, struct edge **out, struct buf *why) {
  struct edge *edge = calloc(1, sizeof *edge);
  if (!edge)
    return ERR_MEMORY;
  edge->loop = loop;
  edge->store = store;
  edge->config = config;
  edge->process.config = config;
  edge->process.main_loop = loop;
  edge->process.wanted = edge_wanted;
  edge->process.shares = !store->alone;
  edge->id = id;
  edge->log_fd = -1;
  map_init(&edge->endpoints, FLEET_ENDPOINTS_MAX);
  edge_publish_open(edge);
  timer_init(&edge->doors_timer, doors_late);
  timer_init(&edge->stale_timer, tokens_too_old);
  list_init(&edge->watch.node);
  enum err e = edge_open(edge, handed, why);
  if (e) {
    edge_stop(edge, true, NULL, NULL);
    edge_free(edge);
    return e;
  }
  edge->watch = (struct store_watch){.user = edge,
                                     .endpoint = endpoint_came,
                                     .endpoint_gone = endpoint_went,
                                     .endpoints_known = endpoints_known,
                                     .tokens = tokens_came,
                                     .quota = quota_came,
                                     .link = link_changed};
  store_watch(store, &edge->watch);
  *out = edge;
  return OK;
}

/* All that can fail, before anything changes. */
static enum err changes_prepare(struct edge *e, struct file *file, const struct doors *doors,
                                struct worker_change **changes) {
  for (int i = 0; i < e->worker_count; i++) {
    changes[i] = worker_change_new(e->workers[i], file, e->doors_open ? doors : NULL, false);
    if (!changes[i])
      return ERR_MEMORY;
  }
  return OK;
}

enum err edge_reload(struct edge *e, struct file *file, struct buf *why) {
  struct worker_change *changes[WORKERS_MAX] = {0};
  struct doors *doors = NULL;
  int log_fd;
  enum err err = log_file_open(file->config.log.access, &log_fd, why);
  if (err)
    return err;
  err = doors_open(&file->config, e->worker_count, e->doors, NULL, &doors, why);
  if (!err)
    err = changes_prepare(e, file, doors, changes);
  if (err) {
    for (int i = 0; i < e->worker_count; i++)
      worker_change_free(changes[i]);
    doors_free(doors);
    close(log_fd);
    return err;
  }
  log_file_replace(e->log_fd, log_fd);
  doors_succeed(doors, e->doors);
  for (int i = 0; i < e->worker_count; i++)
    worker_change_send(changes[i]);
  doors_free(e->doors);
  e->doors = doors;
  e->config = e->process.config = &file->config;
  tokens_look_again(e);
  return OK;
}

enum err edge_reopen_log(struct edge *e, struct buf *why) {
  int log_fd;
  enum err err = log_file_open(e->config->log.access, &log_fd, why);
  if (!err)
    log_file_replace(e->log_fd, log_fd);
  return err;
}

bool edge_log_moved(const struct edge *e) {
  return log_file_moved(e->config->log.access, e->log_fd);
}

static void look_whether_stopped(struct timer *t) {
  struct edge *e = container_of(t, struct edge, stop_timer);
  if (atomic_load(&e->process.running) == 0)
    e->done(e->user);
  else if (timer_set(e->loop, t, loop_now(e->loop) + STOP_LOOK_US) != OK)
    abort();
}

bool edge_beats(struct edge *e) {
  bool all = true;
  for (int i = 0; i < e->worker_count && !e->done; i++)
    all = worker_beats(e->workers[i]) && all;
  return all;
}

void edge_sockets(const struct edge *e, struct handed_list *to) {
  if (e->doors)
    doors_list(e->doors, to);
}

void edge_own_files(struct edge *e, bool own) {
  if (e->doors)
    doors_own(e->doors, own);
}

void edge_stop(struct edge *e, bool now, void (*done)(void *user), void *user) {
  e->doors = doors_free(e->doors); /* workers have what they accept from */
  for (int i = 0; i < e->worker_count; i++)
    worker_stop(e->workers[i], now);
  if (!done || e->done)
    return;
  e->done = done;
  e->user = user;
  timer_init(&e->stop_timer, look_whether_stopped);
  look_whether_stopped(&e->stop_timer);
}

struct edge *edge_free(struct edge *e) {
  if (!e)
    return NULL;
  if (e->watch.user)
    store_unwatch(e->store, &e->watch);
  timer_cancel(e->loop, &e->publish_timer);
  timer_cancel(e->loop, &e->wanted_timer);
  timer_cancel(e->loop, &e->doors_timer);
  timer_cancel(e->loop, &e->stale_timer);
  for (int i = 0; i < e->worker_count; i++)
    worker_join(e->workers[i]);
  for (int i = 0; i < e->worker_count; i++)
    worker_free(e->workers[i]);
  free(e->workers);
  doors_free(e->doors);
  size_t at = 0;
  struct edge_endpoint *endpoint;
  while ((endpoint = map_next(&e->endpoints, &at)))
    endpoint_drop(endpoint);
  map_clear(&e->endpoints);
  token_set_unref(e->tokens);
  free(e->cells);
  pace_free(e->process.pace);
  crowd_free(e->process.crowd);
  recent_free(e->process.auth_failures);
  if (e->log_fd >= 0)
    close(e->log_fd);
  free(e);
  return NULL;
}

static bool view_of(const struct edge_endpoint *e, struct edge_endpoint_view *view) {
  if (e)
    *view = (struct edge_endpoint_view){e->record, e->shared, e->replicas};
  return e != NULL;
}

bool edge_next(const struct edge *e, size_t *at, struct edge_endpoint_view *view) {
  return view_of(map_next(&e->endpoints, at), view);
}

bool edge_find(const struct edge *e, const char *name, struct edge_endpoint_view *view) {
  return view_of(map_get(&e->endpoints, slice_str(name)), view);
}

int edge_workers(const struct edge *e) {
  return e->worker_count;
}

const struct worker_cell *edge_worker_cell(const struct edge *e, int worker) {
  return &e->cells[worker];
}

bool edge_ready(const struct edge *e) {
  return e->known;
}

bool edge_tokens_stale(const struct edge *e) {
  return e->tokens_stale;
}

const char *edge_id(const struct edge *e) {
  return e->id;
}

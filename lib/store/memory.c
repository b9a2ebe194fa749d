/* The store inside one process: both roles are on the same loop. Callbacks come by
 * a post, the latest record of each name only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"
#include "lib/fleet/endpoint.h"
#include "lib/fleet/load.h"
#include "lib/fleet/token.h"
#include "lib/net/loop.h"
#include "lib/store/store.h"
#include "lib/store/token_file.h"
#include "lib/store/watches.h"

enum { ENTRIES_MAX = 100000 };

struct endpoint_entry {
  char name[ENDPOINT_NAME_BYTES_MAX + 1];
  struct endpoint_record *record; /* NULL: gone, and that is still to be told */
  bool news;
};

struct load_entry {
  char key[ENDPOINT_NAME_BYTES_MAX + 1 + PROXY_ID_BYTES];
  struct memory_store *store;
  struct load_record *record;
  struct timer lease;
  bool news;
};

struct memory_store {
  struct store store;
  struct loop *loop;
  int64_t lease_us;
  struct map endpoints, loads;
  struct list watches;
  struct post post;
  struct token_file *token_file;
  struct token_set *tokens;   /* NULL: not read yet */
  char proxy[PROXY_ID_BYTES]; /* who publishes */
  bool endpoints_news, loads_news, tokens_news, leads, led;
};

static void tell_endpoint(struct memory_store *m, const struct endpoint_entry *e) {
  if (e->record)
    WATCH_TELL(&m->watches, endpoint, e->record);
  else
    WATCH_TELL(&m->watches, endpoint_gone, e->name);
}

static void tell_endpoints(struct memory_store *m) {
  size_t at = 0;
  struct endpoint_entry *e, *gone = NULL;
  while ((e = map_next(&m->endpoints, &at))) {
    if (!e->news)
      continue;
    e->news = false;
    tell_endpoint(m, e);
    if (!e->record)
      gone = e;
  }
  if (m->endpoints_news && m->led) { /* before that the scheduler had no chance to say any */
    m->endpoints_news = false;
    WATCH_TELL(&m->watches, endpoints_known);
  }
  if (!gone)
    return;
  map_remove(&m->endpoints, slice_str(gone->name));
  free(gone);
  loop_post(m->loop, &m->post); /* perhaps there are more */
}

static void tell_loads(struct memory_store *m) {
  size_t at = 0;
  struct load_entry *e;
  while ((e = map_next(&m->loads, &at))) {
    if (!e->news)
      continue;
    e->news = false;
    WATCH_TELL(&m->watches, load, e->record);
  }
  if (!m->loads_news)
    return;
  m->loads_news = false;
  const char *proxies[] = {m->proxy};
  WATCH_TELL(&m->watches, loads_known, proxies, *m->proxy ? 1 : 0);
}

static void tell(struct post *p) {
  struct memory_store *m = container_of(p, struct memory_store, post);
  if (m->leads) {
    m->leads = false;
    m->led = m->endpoints_news = true;
    WATCH_TELL(&m->watches, lead, 1);
  }
  tell_endpoints(m);
  tell_loads(m);
  if (m->tokens_news && m->tokens) {
    m->tokens_news = false;
    WATCH_TELL(&m->watches, tokens, m->tokens);
  }
}

static void memory_watch(struct store *s, struct store_watch *w) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  list_push_back(&m->watches, &w->node);
  size_t at = 0;
  struct endpoint_entry *e;
  while ((e = map_next(&m->endpoints, &at)))
    m->endpoints_news = e->news = true;
  struct load_entry *l;
  for (at = 0; (l = map_next(&m->loads, &at));)
    l->news = true;
  m->endpoints_news = m->loads_news = m->tokens_news = true;
  loop_post(m->loop, &m->post);
}

static void memory_unwatch(struct store *s, struct store_watch *w) {
  list_remove(&w->node);
}

static struct endpoint_entry *endpoint_entry(struct memory_store *m, const char *name) {
  struct endpoint_entry *e = map_get(&m->endpoints, slice_str(name));
  if (e)
    return e;
  e = calloc(1, sizeof *e);
  if (!e)
    return NULL;
  strncpy(e->name, name, ENDPOINT_NAME_BYTES_MAX);
  if (map_put(&m->endpoints, slice_str(e->name), e)) {
    free(e);
    return NULL;
  }
  return e;
}

static enum err memory_put_endpoint(struct store *s, const char *name,
                                    const struct endpoint_record *r) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  if (!r && !map_get(&m->endpoints, slice_str(name)))
    return ERR_ABSENT;
  struct endpoint_entry *e = endpoint_entry(m, name);
  struct endpoint_record *copy = e && r ? endpoint_record_copy(r) : NULL;
  if (!e || (r && !copy))
    return ERR_MEMORY;
  endpoint_record_free(e->record);
  e->record = copy;
  m->endpoints_news = e->news = true;
  loop_post(m->loop, &m->post);
  return OK;
}

static void load_drop(struct load_entry *e) {
  struct memory_store *m = e->store;
  timer_cancel(m->loop, &e->lease);
  map_remove(&m->loads, slice_str(e->key));
  WATCH_TELL(&m->watches, load_gone, e->record->endpoint, e->record->proxy);
  load_record_free(e->record);
  free(e);
}

static void lease_over(struct timer *t) {
  load_drop(container_of(t, struct load_entry, lease));
}

static struct load_entry *load_entry(struct memory_store *m, const struct load_record *r) {
  char key[sizeof((struct load_entry *)0)->key];
  snprintf(key, sizeof key, "%s/%s", r->endpoint, r->proxy);
  struct load_entry *e = map_get(&m->loads, slice_str(key));
  if (e)
    return e;
  e = calloc(1, sizeof *e);
  if (!e)
    return NULL;
  strcpy(e->key, key);
  e->store = m;
  timer_init(&e->lease, lease_over);
  if (map_put(&m->loads, slice_str(e->key), e)) {
    free(e);
    return NULL;
  }
  return e;
}

static enum err memory_put_load(struct store *s, const struct load_record *r, bool urgent) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  struct load_record *copy = load_record_copy(r);
  struct load_entry *e = copy ? load_entry(m, r) : NULL;
  if (!e) {
    load_record_free(copy);
    return ERR_MEMORY;
  }
  load_record_free(e->record);
  e->record = copy;
  strcpy(m->proxy, r->proxy);
  m->loads_news = e->news = true;
  loop_post(m->loop, &m->post);
  return timer_set(m->loop, &e->lease, loop_now(m->loop) + m->lease_us);
}

/* Nobody else wants any of it. */
static enum err memory_put_quota(struct store *s, const struct store_quota *q) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  WATCH_TELL(&m->watches, quota, q->name, q->limit);
  return OK;
}

static void memory_put_token(struct store *s, const struct token *t, struct store_reply reply) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  reply.done(reply.user, token_file_add(m->token_file, t));
}

static void memory_remove_token(struct store *s, const char *name, struct store_reply reply) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  reply.done(reply.user, token_file_remove(m->token_file, name));
}

static void memory_lead(struct store *s) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  m->leads = true;
  loop_post(m->loop, &m->post);
}

/* Nobody else could lead. */
static void memory_follow(struct store *s, const char *heir) {
}

static void memory_leave(struct store *s, struct store_reply reply) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  size_t at = 0;
  struct load_entry *e;
  while ((e = map_next(&m->loads, &at))) {
    load_drop(e);
    at = 0;
  }
  reply.done(reply.user, OK);
}

static void tokens_changed(void *user, struct token_set *set) {
  struct memory_store *m = user;
  token_set_unref(m->tokens);
  m->tokens = token_set_ref(set);
  m->tokens_news = true;
  loop_post(m->loop, &m->post);
}

static void tokens_problem(void *user, const char *text) {
  struct memory_store *m = user;
  WATCH_TELL(&m->watches, problem, text);
}

static struct store *memory_free(struct store *s) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  size_t at = 0;
  struct endpoint_entry *e;
  while ((e = map_next(&m->endpoints, &at))) {
    endpoint_record_free(e->record);
    free(e);
  }
  struct load_entry *l;
  for (at = 0; (l = map_next(&m->loads, &at));) {
    timer_cancel(m->loop, &l->lease);
    load_record_free(l->record);
    free(l);
  }
  map_clear(&m->endpoints);
  map_clear(&m->loads);
  post_cancel(&m->post);
  token_file_free(m->token_file);
  token_set_unref(m->tokens);
  free(m);
  return NULL;
}

static const struct store_ops memory_ops = {
    .free = memory_free,
    .watch = memory_watch,
    .unwatch = memory_unwatch,
    .put_endpoint = memory_put_endpoint,
    .put_load = memory_put_load,
    .put_quota = memory_put_quota,
    .put_token = memory_put_token,
    .remove_token = memory_remove_token,
    .lead = memory_lead,
    .follow = memory_follow,
    .leave = memory_leave,
};

struct store *memory_store_new(struct loop *loop, const char *token_file, int64_t lease_ms) {
  struct memory_store *m = calloc(1, sizeof *m);
  if (!m)
    return NULL;
  m->store = (struct store){
      .ops = &memory_ops, .alone = true, .link = {.up = true, .since_us = loop_now(loop)}};
  m->loop = loop;
  m->lease_us = lease_ms * USEC_PER_MS;
  map_init(&m->endpoints, ENTRIES_MAX);
  map_init(&m->loads, ENTRIES_MAX);
  list_init(&m->watches);
  post_init(&m->post, tell);
  m->token_file = token_file_new(loop, token_file, tokens_changed, tokens_problem, m);
  return m->token_file ? &m->store : memory_free(&m->store);
}

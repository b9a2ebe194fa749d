/* The store inside one process: both roles are on the same loop. Callbacks come by
 * a post, the latest record of each name only. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"
#include "lib/fleet/endpoint.h"
#include "lib/fleet/load.h"
#include "lib/net/loop.h"
#include "lib/store/store.h"

enum { ENTRIES_MAX = 100000 };

struct endpoint_entry {
  char name[ENDPOINT_NAME_BYTES_MAX + 1];
  struct endpoint_record *record; /* NULL: gone, and that is still to be told */
  bool news;
};

struct load_entry {
  char key[ENDPOINT_NAME_BYTES_MAX + 1 + 64];
  struct memory_store *store;
  struct load_record record;
  struct timer lease;
  bool news;
};

struct memory_store {
  struct store store;
  struct loop *loop;
  struct map endpoints, loads;
  struct list watches;
  struct post post;
};

static void tell_endpoint(struct store_watch *w, const struct endpoint_entry *e) {
  if (e->record && w->endpoint)
    w->endpoint(w->user, e->record);
  else if (!e->record && w->endpoint_gone)
    w->endpoint_gone(w->user, e->name);
}

static void tell_endpoints(struct memory_store *m) {
  size_t at = 0;
  struct endpoint_entry *e, *gone = NULL;
  while ((e = map_next(&m->endpoints, &at))) {
    if (!e->news)
      continue;
    e->news = false;
    list_each (node, &m->watches)
      tell_endpoint(container_of(node, struct store_watch, node), e);
    if (!e->record)
      gone = e;
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
    list_each (node, &m->watches) {
      struct store_watch *w = container_of(node, struct store_watch, node);
      if (w->load)
        w->load(w->user, &e->record);
    }
  }
}

static void tell(struct post *p) {
  struct memory_store *m = container_of(p, struct memory_store, post);
  tell_endpoints(m);
  tell_loads(m);
}

static void memory_watch(struct store *s, struct store_watch *w) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  list_push_back(&m->watches, &w->node);
  size_t at = 0;
  struct endpoint_entry *e;
  while ((e = map_next(&m->endpoints, &at)))
    e->news = true;
  struct load_entry *l;
  for (at = 0; (l = map_next(&m->loads, &at));)
    l->news = true;
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

static enum err memory_put_endpoint(struct store *s, const struct endpoint_record *r) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  struct endpoint_entry *e = endpoint_entry(m, r->def->name);
  struct endpoint_record *copy = e ? endpoint_record_copy(r) : NULL;
  if (!copy)
    return ERR_MEMORY;
  endpoint_record_free(e->record);
  e->record = copy;
  e->news = true;
  loop_post(m->loop, &m->post);
  return OK;
}

static enum err memory_remove_endpoint(struct store *s, const char *name) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  struct endpoint_entry *e = map_get(&m->endpoints, slice_str(name));
  if (!e)
    return ERR_ABSENT;
  e->record = endpoint_record_free(e->record);
  e->news = true;
  loop_post(m->loop, &m->post);
  return OK;
}

static void lease_over(struct timer *t) {
  struct load_entry *e = container_of(t, struct load_entry, lease);
  struct memory_store *m = e->store;
  list_each (node, &m->watches) {
    struct store_watch *w = container_of(node, struct store_watch, node);
    if (w->load_gone)
      w->load_gone(w->user, e->record.endpoint, e->record.proxy);
  }
  map_remove(&m->loads, slice_str(e->key));
  free(e);
}

static struct load_entry *load_entry(struct memory_store *m, const struct load_record *r) {
  char key[sizeof((struct load_entry *)0)->key];
  size_t n = strlen(r->endpoint);
  memcpy(key, r->endpoint, n);
  key[n] = '/';
  strcpy(key + n + 1, r->proxy);
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

static enum err memory_put_load(struct store *s, const struct load_record *r, int64_t lease_ms) {
  struct memory_store *m = container_of(s, struct memory_store, store);
  struct load_entry *e = load_entry(m, r);
  if (!e)
    return ERR_MEMORY;
  e->record = *r;
  e->news = true;
  loop_post(m->loop, &m->post);
  return timer_set(m->loop, &e->lease, loop_now(m->loop) + lease_ms * USEC_PER_MS);
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
    free(l);
  }
  map_clear(&m->endpoints);
  map_clear(&m->loads);
  post_cancel(&m->post);
  free(m);
  return NULL;
}

static const struct store_ops memory_ops = {
    .free = memory_free,
    .watch = memory_watch,
    .unwatch = memory_unwatch,
    .put_endpoint = memory_put_endpoint,
    .remove_endpoint = memory_remove_endpoint,
    .put_load = memory_put_load,
};

struct store *memory_store_new(struct loop *loop) {
  struct memory_store *m = calloc(1, sizeof *m);
  if (!m)
    return NULL;
  m->store.ops = &memory_ops;
  m->loop = loop;
  map_init(&m->endpoints, ENTRIES_MAX);
  map_init(&m->loads, ENTRIES_MAX);
  list_init(&m->watches);
  post_init(&m->post, tell);
  return &m->store;
}

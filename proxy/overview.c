#include "proxy/overview.h"

#include <stdlib.h>
#include <string.h>

#include "lib/fleet/endpoint.h"
#include "lib/fleet/load.h"
#include "lib/net/loop.h"

enum { OVERVIEW_ENDPOINTS_MAX = 100000 };

struct overview_own {
  struct overview overview; /* first: what others see */
  struct loop *loop;
  struct post post;
};

static struct overview_endpoint *find(struct overview *o, const char *name) {
  return map_get(&o->endpoints, slice_str(name));
}

static void endpoint_came(void *user, const struct endpoint_record *r) {
  struct overview *o = user;
  struct overview_endpoint *e = find(o, r->def->name);
  struct endpoint_record *copy = endpoint_record_copy(r);
  if (!e)
    e = calloc(1, sizeof *e);
  /* The key lives in the record: the new one is put before the old one goes. */
  if (!e || !copy || map_put(&o->endpoints, slice_str(copy->def->name), e)) {
    endpoint_record_free(copy);
    if (e && !e->record)
      free(e);
    return;
  }
  endpoint_record_free(e->record);
  e->record = copy;
}

static void load_came(void *user, const struct load_record *r) {
  struct overview_endpoint *e = find(user, r->endpoint);
  struct load_record *copy = e ? load_record_copy(r) : NULL;
  if (!copy)
    return;
  for (int i = 0; i < e->load_count; i++)
    if (strcmp(e->loads[i]->proxy, r->proxy) == 0) {
      load_record_free(e->loads[i]);
      e->loads[i] = copy;
      return;
    }
  if (e->load_count == e->load_room && e->load_room < OVERVIEW_PROXIES_MAX) {
    int room = e->load_room ? e->load_room * 2 : 4;
    struct load_record **grown = realloc(e->loads, (size_t)room * sizeof(*grown));
    if (grown) {
      e->loads = grown;
      e->load_room = room;
    }
  }
  if (e->load_count < e->load_room)
    e->loads[e->load_count++] = copy;
  else
    load_record_free(copy);
}

static void load_went(void *user, const char *endpoint, const char *proxy) {
  struct overview_endpoint *e = find(user, endpoint);
  for (int i = 0; e && i < e->load_count; i++)
    if (strcmp(e->loads[i]->proxy, proxy) == 0) {
      load_record_free(e->loads[i]);
      e->loads[i] = e->loads[--e->load_count];
    }
}

static void complete(struct overview *o) {
  struct overview_own *own = container_of(o, struct overview_own, overview);
  loop_post(own->loop, &own->post);
}

static void loads_known(void *user, const char *const *proxies, int count) {
  struct overview *o = user;
  if (o->proxies)
    return;
  o->proxies = calloc((size_t)count + 1, sizeof *o->proxies);
  for (int i = 0; o->proxies && i < count; i++)
    o->proxies[o->proxy_count++] = strdup(proxies[i]);
  complete(o);
}

static void link_changed(void *user, const struct store_link *link) {
  if (!link->up)
    complete(user);
}

static void run_done(struct post *p) {
  struct overview *o = &container_of(p, struct overview_own, post)->overview;
  store_unwatch(o->store, &o->watch);
  o->done(o);
}

enum err overview_start(struct loop *loop, struct store *store, void (*done)(struct overview *o),
                        void *user, struct overview **out) {
  struct overview_own *own = calloc(1, sizeof *own);
  if (!own)
    return ERR_MEMORY;
  struct overview *o = *out = &own->overview;
  own->loop = loop;
  post_init(&own->post, run_done);
  map_init(&o->endpoints, OVERVIEW_ENDPOINTS_MAX);
  o->store = store;
  o->done = done;
  o->user = user;
  o->watch = (struct store_watch){.user = o,
                                  .endpoint = endpoint_came,
                                  .load = load_came,
                                  .load_gone = load_went,
                                  .loads_known = loads_known,
                                  .link = link_changed};
  store_watch(store, &o->watch);
  return OK;
}

struct overview *overview_free(struct overview *o) {
  if (!o)
    return NULL;
  store_unwatch(o->store, &o->watch);
  post_cancel(&container_of(o, struct overview_own, overview)->post);
  size_t at = 0;
  struct overview_endpoint *e;
  while ((e = map_next(&o->endpoints, &at))) {
    for (int i = 0; i < e->load_count; i++)
      load_record_free(e->loads[i]);
    free(e->loads);
    endpoint_record_free(e->record);
    free(e);
  }
  map_clear(&o->endpoints);
  for (int i = 0; i < o->proxy_count; i++)
    free((char *)o->proxies[i]);
  free(o->proxies);
  free(container_of(o, struct overview_own, overview));
  return NULL;
}

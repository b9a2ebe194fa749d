#include "proxy/request/fleet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/config.h"
#include "proxy/request/outlier.h"
#include "proxy/request/worker.h"

struct fleet_route {
  struct slice prefix; /* in the endpoint's definition */
  bool strip;
  struct endpoint *endpoint;
};

struct endpoint *endpoint_ref(struct endpoint *e) {
  e->refs++;
  return e;
}

bool replica_takes_requests(const struct replica *r) {
  return r->state == REPLICA_READY && r->has_address;
}

bool endpoint_has_other(const struct endpoint *e, const struct replica_shared *than) {
  for (int i = 0; i < e->replica_count; i++)
    if (e->replicas[i]->shared != than && replica_takes_requests(e->replicas[i]) &&
        !outlier_ejected(e->replicas[i]->shared))
      return true;
  return false;
}

struct replica *replica_ref(struct replica *r) {
  r->refs++;
  return r;
}

void replica_unref(struct replica *r) {
  if (!r || --r->refs)
    return;
  assert(list_empty(&r->idle) && list_empty(&r->open));
  replica_shared_unref(r->shared);
  free(r);
}

static void replicas_drop(struct endpoint *e) {
  for (int i = 0; i < e->replica_count; i++)
    replica_unref(e->replicas[i]);
  free(e->replicas);
  e->replicas = NULL;
  e->replica_count = e->ready_count = 0;
}

void endpoint_unref(struct endpoint *e) {
  if (!e || --e->refs)
    return;
  replicas_drop(e);
  free(e->allowed);
  endpoint_def_unref(e->def);
  endpoint_shared_unref(e->shared);
  free(e);
}

enum err fleet_init(struct fleet *f, const char *domain, char *const *model_hosts) {
  *f = (struct fleet){0};
  map_init(&f->models, FLEET_ENDPOINTS_MAX * 8);
  map_init(&f->by_model, FLEET_ENDPOINTS_MAX);
  for (; model_hosts && *model_hosts; model_hosts++)
    if (map_put(&f->by_model, slice_str(*model_hosts), f))
      return ERR_MEMORY;
  map_init(&f->endpoints, FLEET_ENDPOINTS_MAX);
  map_init(&f->hosts, FLEET_ENDPOINTS_MAX * 8);
  size_t len = strlen(domain);
  f->domain = malloc(len + 2);
  if (!f->domain)
    return ERR_MEMORY;
  f->domain[0] = '.';
  memcpy(f->domain + 1, domain, len + 1);
  return OK;
}

static void routing_clear(struct fleet *f) {
  size_t limit = f->hosts.max_entries;
  map_clear(&f->hosts);
  map_init(&f->hosts, limit);
  map_clear(&f->models);
  map_init(&f->models, limit);
  free(f->routes);
  f->routes = NULL;
  f->route_count = 0;
  f->fallback = NULL;
}

void fleet_close(struct fleet *f) {
  routing_clear(f);
  size_t at = 0;
  struct endpoint *e;
  while ((e = map_next(&f->endpoints, &at))) {
    for (int i = 0; i < e->replica_count; i++)
      e->replicas[i]->gone = true;
    endpoint_unref(e);
  }
  map_clear(&f->endpoints);
  map_clear(&f->by_model);
  free(f->domain);
}

static int route_order(const void *a, const void *b) {
  const struct fleet_route *x = a, *y = b;
  return x->prefix.len < y->prefix.len ? 1 : x->prefix.len > y->prefix.len ? -1 : 0;
}

static enum err routing_rebuild(struct fleet *f) {
  routing_clear(f);
  size_t at = 0, routes = 0;
  struct endpoint *e;
  while ((e = map_next(&f->endpoints, &at)))
    routes += (size_t)e->def->route_count;
  f->routes = calloc(routes + 1, sizeof *f->routes);
  if (!f->routes)
    return ERR_MEMORY;
  for (at = 0; (e = map_next(&f->endpoints, &at));) {
    for (char **host = e->def->hosts; host && *host; host++)
      if (map_put(&f->hosts, slice_str(*host), e))
        return ERR_MEMORY;
    for (char **model = e->def->models; model && *model; model++)
      if (map_put(&f->models, slice_str(*model), e))
        return ERR_MEMORY;
    for (int i = 0; i < e->def->route_count; i++)
      f->routes[f->route_count++] =
          (struct fleet_route){slice_str(e->def->routes[i].prefix), e->def->routes[i].strip, e};
    if (e->def->is_default)
      f->fallback = e;
  }
  qsort(f->routes, (size_t)f->route_count, sizeof *f->routes, route_order);
  return OK;
}

/* Made anew when it is asked for after a change, so that many endpoints that come together cost
 * it once. */
static void routing_refresh(struct fleet *f) {
  if (!f->routing_old)
    return;
  f->routing_old = false;
  if (routing_rebuild(f))
    routing_clear(f);
}

static struct endpoint *endpoint_new(struct worker *w, const struct fleet_news *n) {
  struct endpoint *e = calloc(1, sizeof *e);
  if (!e)
    return NULL;
  e->refs = 1;
  e->shared = endpoint_shared_ref(n->shared);
  e->name = slice_str(e->shared->name);
  e->cell = &e->shared->cells[w->index];
  e->next_replica = (unsigned)w->index;
  if (map_put(&w->fleet.endpoints, e->name, e)) {
    endpoint_unref(e);
    return NULL;
  }
  return e;
}

static struct replica *replica_find(struct endpoint *e, const char *id) {
  for (int i = 0; i < e->replica_count; i++)
    if (strcmp(e->replicas[i]->shared->id, id) == 0)
      return e->replicas[i];
  return NULL;
}

static struct replica *replica_new(struct worker *w, struct endpoint *e,
                                   struct replica_shared *shared) {
  struct replica *r = calloc(1, sizeof *r);
  if (!r)
    return NULL;
  r->endpoint = e;
  r->refs = 1;
  r->shared = replica_shared_ref(shared);
  r->cell = &shared->cells[w->index];
  list_init(&r->idle);
  list_init(&r->open);
  return r;
}

static void replicas_apply(struct worker *w, struct endpoint *e, const struct fleet_news *n) {
  const struct endpoint_record *record = n->record;
  struct replica **now = calloc((size_t)record->replica_count + 1, sizeof(*now));
  if (!now)
    return;
  int count = 0, ready = 0;
  for (int i = 0; i < record->replica_count; i++) {
    struct replica *r = replica_find(e, record->replicas[i].id);
    r = r ? replica_ref(r) : replica_new(w, e, n->replicas[i]);
    if (!r)
      continue;
    r->state = record->replicas[i].state;
    r->has_address = address_parse(record->replicas[i].address, &r->address) == OK;
    ready += r->state == REPLICA_READY && r->has_address;
    now[count++] = r;
  }
  for (int i = 0; i < e->replica_count; i++)
    e->replicas[i]->gone = true;
  for (int i = 0; i < count; i++)
    now[i]->gone = false;
  replicas_drop(e);
  e->replicas = now;
  e->replica_count = count;
  e->ready_count = ready;
}

/* Without memory for its ranges nobody's address is in one. */
static void rules_apply(struct endpoint *e) {
  const struct endpoint_def *d = e->def;
  int count = 0;
  while (d->allow_addresses && d->allow_addresses[count])
    count++;
  free(e->allowed);
  e->allowed = calloc((size_t)count + 1, sizeof *e->allowed);
  e->allowed_count = 0;
  for (int i = 0; e->allowed && i < count; i++)
    if (address_range_parse(d->allow_addresses[i], &e->allowed[e->allowed_count]) == OK)
      e->allowed_count++;
  e->ruled = count || (d->vpc_endpoints && d->vpc_endpoints[0]) ||
             (d->client_certificates && d->client_certificates[0]);
}

static struct endpoint *fleet_remove(struct fleet *f, const char *name) {
  struct endpoint *e = map_remove(&f->endpoints, slice_str(name));
  if (!e)
    return NULL;
  e->gone = true;
  for (int i = 0; i < e->replica_count; i++)
    e->replicas[i]->gone = true;
  e->ready_count = 0;
  f->routing_old = true;
  return e;
}

struct endpoint *fleet_apply(struct worker *w, const struct fleet_news *n) {
  struct fleet *f = &w->fleet;
  if (!n->record)
    return fleet_remove(f, n->name);
  struct endpoint *e = map_get(&f->endpoints, slice_str(n->name));
  if (!e)
    e = endpoint_new(w, n);
  if (!e)
    return NULL;
  bool redefined = e->def != n->record->def;
  if (redefined) {
    endpoint_def_unref(e->def);
    e->def = endpoint_def_ref(n->record->def);
    rules_apply(e);
  }
  e->state = n->record->state;
  e->cold_start_ms = n->record->cold_start_ms;
  replicas_apply(w, e, n);
  f->routing_old |= redefined;
  /* Whoever sees this version sees also every request that went out by an older one. */
  atomic_store_explicit(&e->cell->version, n->record->version, memory_order_release);
  return e;
}

struct fleet_news *fleet_news_free(struct fleet_news *n) {
  if (!n)
    return NULL;
  for (int i = 0; n->record && n->replicas && i < n->record->replica_count; i++)
    replica_shared_unref(n->replicas[i]);
  free(n->replicas);
  endpoint_record_free(n->record);
  endpoint_shared_unref(n->shared);
  free(n);
  return NULL;
}

/* A prefix matches whole segments: "/demo" takes "/demo" and "/demo/x", not "/demos". */
static bool prefix_matches(struct slice prefix, struct slice path) {
  if (!slice_starts(path, prefix))
    return false;
  return path.len == prefix.len || (prefix.len && prefix.data[prefix.len - 1] == '/') ||
         path.data[prefix.len] == '/';
}

bool fleet_by_model(const struct fleet *f, struct slice host) {
  return f->by_model.count && map_get(&f->by_model, host);
}

struct endpoint *fleet_model(struct fleet *f, struct slice model) {
  routing_refresh(f);
  struct endpoint *e = map_get(&f->models, model);
  return e ? e : map_get(&f->endpoints, model);
}

struct endpoint *fleet_route(struct fleet *f, struct slice host, struct slice path, size_t *strip) {
  routing_refresh(f);
  *strip = 0;
  struct endpoint *e = map_get(&f->hosts, host);
  if (e)
    return e;
  struct slice domain = slice_str(f->domain);
  if (host.len > domain.len &&
      slice_equal(slice_of(host.data + host.len - domain.len, domain.len), domain))
    return map_get(&f->endpoints, slice_of(host.data, host.len - domain.len));
  for (int i = 0; i < f->route_count; i++)
    if (prefix_matches(f->routes[i].prefix, path)) {
      struct slice prefix = f->routes[i].prefix;
      bool slash = prefix.len && prefix.data[prefix.len - 1] == '/';
      *strip = f->routes[i].strip ? prefix.len - slash : 0;
      return f->routes[i].endpoint;
    }
  return f->fallback;
}

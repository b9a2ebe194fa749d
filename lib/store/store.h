/* The store: where the two roles meet. A proxy publishes its load and reads
 * endpoints and tokens; the scheduler the reverse. They never call each other.
 *
 * Signals are level-triggered: a callback only says "look now", and the record
 * handed with it is the whole truth. Every function belongs to the loop's thread
 * on which the store was opened; callbacks come from that loop, never from within
 * a call. Records handed to callbacks are borrowed for the call. */
#pragma once

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/list.h"

struct loop;
struct store;
struct endpoint_record;
struct load_record;

/* Whoever wants to know. Members may be NULL. On subscribing, everything that is
 * known already is delivered once. */
struct store_watch {
  void *user;
  /* An endpoint appeared or changed. */
  void (*endpoint)(void *user, const struct endpoint_record *r);
  void (*endpoint_gone)(void *user, const char *name);
  /* One proxy's load for one endpoint is new. */
  void (*load)(void *user, const struct load_record *r);
  /* A proxy's lease ran out: its counts are void. */
  void (*load_gone)(void *user, const char *endpoint, const char *proxy);
  struct list node; /* the store's */
};

struct store_ops {
  struct store *(*free)(struct store *s);
  void (*watch)(struct store *s, struct store_watch *w);
  void (*unwatch)(struct store *s, struct store_watch *w);
  /* Scheduler: replaces the record of that name. */
  enum err (*put_endpoint)(struct store *s, const struct endpoint_record *r);
  enum err (*remove_endpoint)(struct store *s, const char *name);
  /* Proxy: replaces this proxy's record of that endpoint, good for lease_ms. */
  enum err (*put_load)(struct store *s, const struct load_record *r, int64_t lease_ms);
};

struct store {
  const struct store_ops *ops;
};

static inline struct store *store_free(struct store *s) {
  return s ? s->ops->free(s) : NULL;
}
static inline void store_watch(struct store *s, struct store_watch *w) {
  s->ops->watch(s, w);
}
static inline void store_unwatch(struct store *s, struct store_watch *w) {
  s->ops->unwatch(s, w);
}
MUST_CHECK static inline enum err store_put_endpoint(struct store *s,
                                                     const struct endpoint_record *r) {
  return s->ops->put_endpoint(s, r);
}
MUST_CHECK static inline enum err store_remove_endpoint(struct store *s, const char *name) {
  return s->ops->remove_endpoint(s, name);
}
MUST_CHECK static inline enum err store_put_load(struct store *s, const struct load_record *r,
                                                 int64_t lease_ms) {
  return s->ops->put_load(s, r, lease_ms);
}

/* The store inside a single process. NULL when memory ran out. */
struct store *memory_store_new(struct loop *loop);

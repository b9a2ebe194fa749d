/* The store: where the two roles meet. A proxy publishes its load and reads
 * endpoints and tokens; the scheduler the reverse. They never call each other.
 *
 * Signals are level-triggered: a callback only says "look now", and the record
 * handed with it is the whole truth. Every function belongs to the loop's thread
 * on which the store was opened; callbacks come from that loop, never from within
 * a call, but for those a watch gets of what is known already. Records handed to
 * callbacks are borrowed for the call. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/slice.h"

struct loop;
struct store;
struct endpoint_record;
struct load_record;
struct token;
struct token_set;

enum { QUOTA_NAME_BYTES = 192 };

/* A limit of the whole fleet, of which each proxy has a share: the places of a replica
 * with concurrency_max, a token's requests at once or per second. */
struct store_quota {
  char name[QUOTA_NAME_BYTES];
  double limit; /* of the fleet */
  double held;  /* here: the share in force, or what is in use when that is more */
  double want;  /* here: what is in use, and what more would be */
  bool whole;   /* it comes in whole numbers */
};

/* Whether the store can be reached. */
struct store_link {
  bool up;
  int64_t since_us;    /* of the loop's clock: since when up or down */
  int64_t commands;    /* ever sent */
  int64_t connections; /* ever made */
  int proxies;         /* that live, as last known */
  char why[256];       /* down: the reason */
};

/* Whoever wants to know. Members may be NULL. On subscribing, everything that is
 * known already is delivered. */
struct store_watch {
  void *user;
  /* An endpoint appeared or changed. */
  void (*endpoint)(void *user, const struct endpoint_record *r);
  void (*endpoint_gone)(void *user, const char *name);
  /* All endpoints there are have been told; again after each change. */
  void (*endpoints_known)(void *user);
  /* One proxy's load for one endpoint is new. */
  void (*load)(void *user, const struct load_record *r);
  /* A proxy's lease ran out, or it has nothing to say of that endpoint any more: no request
   * of it is there. */
  void (*load_gone)(void *user, const char *endpoint, const char *proxy);
  /* All loads have been looked at; `proxies` are those that live. */
  void (*loads_known)(void *user, const char *const *proxies, int count);
  void (*tokens)(void *user, struct token_set *set);
  /* Something in the store cannot be read; what was known of it stays in force. */
  void (*problem)(void *user, const char *text);
  /* How much of a quota this proxy may use. */
  void (*quota)(void *user, const char *name, double allowed);
  /* The lead was won (fence > 0) or lost (0). */
  void (*lead)(void *user, int64_t fence);
  void (*link)(void *user, const struct store_link *link);
  struct list node; /* the store's */
};

/* What became of a change; `done` is called once. */
struct store_reply {
  void *user;
  void (*done)(void *user, enum err e);
};

struct store_ops {
  struct store *(*free)(struct store *s);
  void (*watch)(struct store *s, struct store_watch *w);
  void (*unwatch)(struct store *s, struct store_watch *w);
  enum err (*put_endpoint)(struct store *s, const char *name, const struct endpoint_record *r);
  enum err (*put_load)(struct store *s, const struct load_record *r, bool urgent);
  enum err (*put_quota)(struct store *s, const struct store_quota *q);
  void (*put_token)(struct store *s, const struct token *t, struct store_reply reply);
  void (*remove_token)(struct store *s, const char *name, struct store_reply reply);
  void (*lead)(struct store *s);
  void (*follow)(struct store *s, const char *heir);
  void (*leave)(struct store *s, struct store_reply reply);
};

struct store {
  const struct store_ops *ops;
  bool alone; /* one process: quotas need not be shared */
  struct store_link link;
};

/* Accepts NULL; returns NULL. */
static inline struct store *store_free(struct store *s) {
  return s ? s->ops->free(s) : NULL;
}
static inline void store_watch(struct store *s, struct store_watch *w) {
  s->ops->watch(s, w);
}
static inline void store_unwatch(struct store *s, struct store_watch *w) {
  s->ops->unwatch(s, w);
}
/* Scheduler: replaces the record of that name; without one the endpoint is gone. */
MUST_CHECK static inline enum err store_put_endpoint(struct store *s, const char *name,
                                                     const struct endpoint_record *r) {
  return s->ops->put_endpoint(s, name, r);
}
/* Proxy: replaces this proxy's record of that endpoint, good for one lease. urgent: somebody
 * waits, so the scheduler is to look at once. ERR_AGAIN: not now. */
MUST_CHECK static inline enum err store_put_load(struct store *s, const struct load_record *r,
                                                 bool urgent) {
  return s->ops->put_load(s, r, urgent);
}
/* Proxy: asks for a share; watch.quota answers once, unless the link goes down before. To be
 * asked again while it is in use, at least once in a lease. ERR_AGAIN: not now. */
MUST_CHECK static inline enum err store_put_quota(struct store *s, const struct store_quota *q) {
  return s->ops->put_quota(s, q);
}
/* Operator. ERR_EXISTS: the name or the hash is taken. ERR_ABSENT: no token has the name. */
static inline void store_put_token(struct store *s, const struct token *t, struct store_reply r) {
  s->ops->put_token(s, t, r);
}
static inline void store_remove_token(struct store *s, const char *name, struct store_reply r) {
  s->ops->remove_token(s, name, r);
}
/* Scheduler: asks for the lead from now on; watch.lead answers. */
static inline void store_lead(struct store *s) {
  s->ops->lead(s);
}
/* Scheduler: hands the lead over to the process of that id, after all that was put before, and does
 * not ask again. "": to whoever asks first. */
static inline void store_follow(struct store *s, const char *heir) {
  s->ops->follow(s, heir);
}
/* Gives back what this process holds: its loads and the lead. Shares run out. */
static inline void store_leave(struct store *s, struct store_reply r) {
  s->ops->leave(s, r);
}

/* The store inside a single process. Tokens are in a file, which is looked at again each
 * TOKEN_FILE_LOOK_MS. `token_file` is borrowed. NULL when memory ran out. */
struct store *memory_store_new(struct loop *loop, const char *token_file, int64_t lease_ms);

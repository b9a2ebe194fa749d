/* The fleet as one worker sees it: endpoints, their replicas, and who answers
 * for which host and path. Changed only by mail from the main thread, on the
 * worker's own thread; no locks, no atomics.
 *
 * An endpoint or replica that is gone stays in memory until the last request or
 * connection that refers to it lets go. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/slice.h"
#include "lib/fleet/endpoint.h"
#include "lib/net/address.h"
#include "proxy/request/shared.h"

struct worker;
struct endpoint;

struct replica {
  struct endpoint *endpoint;
  struct replica_shared *shared;
  struct replica_cell *cell; /* this worker's own */
  enum replica_state state;
  struct address address;
  bool has_address;
  bool gone;
  int refs;              /* the endpoint's list, connections, leases */
  struct list idle;      /* HTTP/1: connections waiting for work, the latest used first */
  struct list open;      /* HTTP/2: connections with room for another stream */
  int idle_count;        /* connections without work, of either */
  int64_t others_active; /* the other workers' cells summed, at others_at_us */
  usec_t others_at_us;
};

struct endpoint {
  struct slice name; /* in shared */
  struct endpoint_shared *shared;
  struct endpoint_cell *cell; /* this worker's own */
  struct endpoint_def *def;
  bool ruled;                    /* it has rules, see proxy/steps/rules.h */
  struct address_range *allowed; /* allowed_count of def->allow_addresses */
  int allowed_count;
  enum endpoint_state state;
  int64_t cold_start_ms;
  struct replica **replicas;
  int replica_count, ready_count;
  unsigned next_replica; /* ties are broken from here */
  bool gone;
  int refs; /* the fleet's map, requests */
};

struct fleet {
  struct map endpoints; /* name -> endpoint; owns a reference */
  struct map models;    /* name of a model -> endpoint */
  struct map by_model;  /* hosts at which the body's model says which endpoint */
  struct map hosts;     /* exact host, lower case -> endpoint */
  struct endpoint *fallback;
  struct fleet_route *routes; /* longest prefix first */
  int route_count;
  bool routing_old; /* an endpoint came, went or was redefined since hosts, models and routes were
                       made */
  char *domain;     /* ".localhost" */
};

enum { FLEET_ENDPOINTS_MAX = 100000 };

/* The texts outlive the fleet. `model_hosts` is NULL-terminated, or NULL. */
enum err fleet_init(struct fleet *f, const char *domain, char *const *model_hosts) MUST_CHECK;
void fleet_close(struct fleet *f);

/* What the main thread has to say of one endpoint. Owned by the receiver. */
struct fleet_news {
  char name[ENDPOINT_NAME_BYTES_MAX + 1];
  struct endpoint_record *record;   /* NULL: the endpoint is gone */
  struct endpoint_shared *shared;   /* a reference */
  struct replica_shared **replicas; /* a reference each, in the order of record->replicas */
};
struct fleet_news *fleet_news_free(struct fleet_news *n);

/* Takes the news in; returns the endpoint concerned (perhaps marked gone, then
 * with a reference for the caller to drop), or NULL when there was none. */
struct endpoint *fleet_apply(struct worker *w, const struct fleet_news *n);

/* By host (without port), else by path prefix, else the default. *strip is how
 * many bytes of the path the route cuts. NULL when nobody answers for it. */
struct endpoint *fleet_route(struct fleet *f, struct slice host, struct slice path, size_t *strip);

/* Whether at this host the body's model says which endpoint. */
bool fleet_by_model(const struct fleet *f, struct slice host);
/* By one of its models, or by its own name. NULL when nobody answers for it. */
struct endpoint *fleet_model(struct fleet *f, struct slice model);

/* Whether a replica other than this one takes requests, and is not ejected. */
bool endpoint_has_other(const struct endpoint *e, const struct replica_shared *than);
bool replica_takes_requests(const struct replica *r);

struct endpoint *endpoint_ref(struct endpoint *e);
void endpoint_unref(struct endpoint *e);
struct replica *replica_ref(struct replica *r);
void replica_unref(struct replica *r);

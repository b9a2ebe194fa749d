/* An endpoint as both roles know it: its definition (what an operator wrote), its
 * state (what the scheduler made of it), and its replicas.
 *
 * A definition is immutable once loaded and shared by reference; everything in it
 * lives as long as it does. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct buf;

enum {
  ENDPOINT_NAME_BYTES_MAX = 63 /* a DNS label */,
  REPLICA_ID_BYTES = 80,
  REPLICA_MADE_BYTES = 33
};

enum endpoint_access { ACCESS_PRIVATE, ACCESS_AUTHENTICATED, ACCESS_PUBLIC };

enum endpoint_driver { ENDPOINT_DRIVER_PROCESS, ENDPOINT_DRIVER_STATIC };

/* What is spoken to replicas: HTTP/1.1, or HTTP/2 in clear by prior knowledge. */
enum endpoint_protocol { ENDPOINT_HTTP1, ENDPOINT_H2C };

/* As in Inference Endpoints. */
enum endpoint_state {
  ENDPOINT_PENDING,
  ENDPOINT_INITIALIZING,
  ENDPOINT_UPDATING,
  ENDPOINT_UPDATE_FAILED,
  ENDPOINT_RUNNING,
  ENDPOINT_PAUSED,
  ENDPOINT_FAILED,
  ENDPOINT_SCALED_TO_ZERO,
};

enum replica_state {
  REPLICA_STARTING,
  REPLICA_READY,
  REPLICA_DRAINING,
  REPLICA_STOPPED,
  REPLICA_FAILED,
};

struct endpoint_route {
  char *prefix; /* "/v1/"; matches whole segments */
  bool strip;   /* the prefix is cut before the request goes on */
};

struct endpoint_cors {
  bool enabled;
  char **origins; /* "*" or exact origins; NULL-terminated, like every list here */
  char **methods, **headers, **expose;
  bool credentials;
  int64_t max_age_s;
};

struct endpoint_process {
  char **command;     /* argv; {port} {host} {replica} {endpoint} are replaced */
  char **environment; /* "NAME=value", secrets resolved */
  char *directory;
  char *log_directory; /* one file a replica */
};

struct endpoint_scaling {
  int64_t min_replicas, max_replicas;
  int64_t scale_to_zero_s;    /* 3600; 0: never. Needs min_replicas 0 */
  double pending_per_replica; /* 1.5: mean pending per ready or starting replica that adds one */
  int64_t scale_up_window_s, scale_down_window_s; /* 20, 300 */
};

struct endpoint_def {
  char *name;
  /* the edge */
  char **hosts;                  /* exact hosts besides <name>.<domain> */
  char **models;                 /* that it answers for at hosts that route by model */
  bool is_default;               /* serves hosts nobody else claims */
  struct endpoint_route *routes; /* by path prefix on any of the edge's own hosts */
  int route_count;
  enum endpoint_access access;
  char *owner;                /* private: tokens of this owner ... */
  char **organisations;       /* ... or of one of these may pass */
  char **allow_addresses;     /* address ranges; of each list given, one must hold */
  char **vpc_endpoints;       /* ids, "vpce-..." */
  char **client_certificates; /* names in them; "*": any good one */
  bool pass_token;            /* the Authorization field goes on to the replica */
  int protocol;               /* enum endpoint_protocol */
  struct endpoint_cors cors;
  int64_t concurrency_max; /* requests at once per replica; 0: unlimited */
  int64_t queue_max_s;     /* how long a request queues when every replica is full */
  int64_t hold_requests_max, hold_bytes_max;
  int64_t body_limit_bytes; /* 0: none */
  int64_t head_timeout_s;   /* 0: the proxy's own replica_head_timeout_s */
  bool paused;
  /* the scheduler */
  int driver;       /* enum endpoint_driver */
  char **addresses; /* static: "host:port", "[v6]:port" or "unix:PATH" */
  struct endpoint_process process;
  char *health_path; /* NULL: the port accepting is enough */
  int64_t health_interval_ms, health_timeout_ms;
  int64_t start_grace_s; /* must be ready by then */
  int64_t stop_grace_s;  /* TERM, then after this KILL */
  int64_t drain_grace_s; /* open requests may take this long when draining */
  int64_t failures_max;  /* failed starts in a row before the endpoint is failed */
  struct endpoint_scaling scaling;

  int refs; /* atomic; endpoint_def_ref and _unref only */
};

struct endpoint_def *endpoint_def_ref(struct endpoint_def *d);
/* Accepts NULL; returns NULL. Any thread. */
struct endpoint_def *endpoint_def_unref(struct endpoint_def *d);

/* One replica, as the scheduler publishes it. */
struct replica_record {
  char id[REPLICA_ID_BYTES]; /* "demo-1": unique within the endpoint, never reused */
  char address[128];         /* "127.0.0.1:9001", "[::1]:9001" or "unix:PATH" */
  enum replica_state state;
  int64_t since_ms; /* wall clock, when the state began */
  char handle[128]; /* by which the driver finds it again; "" when it cannot */
  /* A digest of what it was started from; "" when nothing was, or nobody has said so. */
  char made[REPLICA_MADE_BYTES];
};

enum { REPLICAS_PER_ENDPOINT_MAX = 256 };

/* Everything an edge must know of an endpoint. The record owns a reference of
 * its definition, the array and the texts. */
struct endpoint_record {
  struct endpoint_def *def;
  enum endpoint_state state;
  char reason[512];      /* for operators: why it is failed, the last log lines; "" else */
  int64_t cold_start_ms; /* learned from past starts, 0 when unknown: for Retry-After */
  int64_t version;       /* grows with each change of this record */
  struct replica_record *replicas;
  int replica_count;
};

struct endpoint_record *endpoint_record_copy(const struct endpoint_record *r);
/* Accepts NULL; returns NULL. */
struct endpoint_record *endpoint_record_free(struct endpoint_record *r);

const char *endpoint_state_word(enum endpoint_state s);
/* False: there is no such state. */
bool endpoint_state_find(const char *word, enum endpoint_state *s);
const char *replica_state_word(enum replica_state s);
const char *endpoint_access_word(enum endpoint_access a);

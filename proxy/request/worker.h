/* One worker: a thread with a loop of its own, and what everything on it shares.
 * proxy/worker.c starts and runs them; everybody else only finds things here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "proxy/request/cells.h"
#include "proxy/request/fleet.h"

struct access_log;
struct address_range;
struct config;
struct crowd;
struct http_field;
struct loop;
struct pace;
struct pool;
struct recent;
struct request_step;
struct response_step;
struct token_set;

enum {
  WORKER_FIELDS_MAX = 1024,       /* upper bound of the option head_fields_max */
  WORKER_HEAD_BYTES = 128 * 1024, /* room to build one head in */
  ARENA_BLOCK_BYTES = 1024,
  REQUEST_ARENA_LIMIT_BYTES = 256 * 1024,
};

/* What the workers of a process share with each other and the main thread. */
struct process {
  const struct config *config;
  struct loop *main_loop;
  int worker_count;
  struct pace *pace;
  struct crowd *crowd;
  struct recent *auth_failures; /* of an address or a token: when its allowance is full again */
  _Atomic int64_t held_requests, held_bytes; /* against the limits over all endpoints */
  _Atomic int64_t connections;
  bool shares;         /* limits are shared with other proxies */
  _Atomic int running; /* workers whose thread has not ended */
  /* Any thread: a request wants a replica of this endpoint; look now. */
  void (*wanted)(struct process *p, struct endpoint_shared *e);
};

struct worker {
  struct process *process;
  struct loop *loop;
  int index;
  const struct config *config;
  struct worker_cell *cell;
  const struct request_step *steps;           /* the path of a request ... */
  const struct request_step *finish;          /* the last of them: every request ends there */
  const struct response_step *response_steps; /* ... and the way back */
  struct pool *requests, *arena_blocks, *clients, *streams, *replica_connections, *replica_streams;
  struct token_set *tokens; /* NULL: not known yet */
  struct fleet fleet;
  bool fleet_known; /* until then nobody can say that an endpoint does not exist */
  struct list held; /* requests in the hold, oldest first */
  struct list open_clients;
  struct list replica_links;     /* connections to replicas, busy and idle */
  struct address_range *trusted; /* trusted_count peers whose X-Forwarded-* are believed */
  int trusted_count;
  struct access_log *log;
  struct http_field *fields;             /* WORKER_FIELDS_MAX: for the head being parsed */
  char *head_bytes;                      /* WORKER_HEAD_BYTES: for the head being written */
  uint64_t request_seed, request_serial; /* together an id that no other process makes */
  bool stopping;
};

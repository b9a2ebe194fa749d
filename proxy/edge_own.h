/* The inside of the edge, shared by edge.c and edge_publish.c only. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/map.h"
#include "lib/net/loop.h"
#include "lib/store/store.h"
#include "proxy/edge.h"
#include "proxy/request/worker.h"

struct doors;
struct worker_thread;

struct edge_endpoint {
  struct endpoint_record *record;
  struct endpoint_shared *shared;
  struct replica_shared **replicas;
  int64_t wanted_since_ms, requests_said;
  usec_t published_us;
  bool silent; /* that nobody is here has been said */
};

struct edge {
  struct process process;
  struct loop *loop;
  struct store *store;
  const struct config *config;
  struct store_watch watch;
  struct map endpoints; /* name -> edge_endpoint */
  struct doors *doors;
  struct worker_thread **workers;
  struct worker_cell *cells;
  int worker_count, log_fd;
  struct timer publish_timer, wanted_timer, stop_timer, doors_timer, stale_timer;
  struct mail wanted_mail;
  _Atomic bool wanted_sent;
  const char *id;
  int64_t incarnation;
  struct token_set *tokens;
  usec_t tokens_us; /* when shares of their limits were asked for */
  bool known, endpoints_known, tokens_stale, doors_open;
  void (*done)(void *user);
  void *user;
};

/* What is published of the load: at each refresh (a timer's function), and at once when a
 * request wants a replica (a process's function, from any thread). */
void edge_publish_open(struct edge *edge);
void edge_publish_all(struct timer *t);
void edge_wanted(struct process *p, struct endpoint_shared *e);

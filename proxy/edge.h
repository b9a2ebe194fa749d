/* The proxy role on the main thread: doors, workers, what the store says of the
 * fleet, and what is published of the load. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct buf;
struct config;
struct edge;
struct endpoint_record;
struct endpoint_shared;
struct file;
struct handed;
struct handed_list;
struct loop;
struct replica_shared;
struct store;
struct worker_cell;

/* Opens the doors, first with sockets that were `handed` (perhaps NULL) to us, and starts the
 * workers. `config`, `store` and `id` (by which the fleet knows this proxy) outlive it. On error
 * *why says what and how to mend it. */
enum err edge_new(struct loop *loop, struct store *store, const struct config *config,
                  const char *id, struct handed *handed, struct edge **out,
                  struct buf *why) MUST_CHECK;
/* Nobody else serves in our place: the doors, which open when the fleet is known, open in a moment
 * even if the store has said nothing yet. */
void edge_open_late(struct edge *e);
/* From now on goes by another configuration: all workers, or, on error (*why says what and how to
 * mend it), none. Connections and requests that are there stay. `file` outlives this one's stay in
 * force; each worker keeps a reference until it has the next. */
enum err edge_reload(struct edge *e, struct file *file, struct buf *why) MUST_CHECK;
/* Whether all workers have come round since this was asked last; called now and then. */
bool edge_beats(struct edge *e);
/* The listening sockets, borrowed; and whether their files are ours: not when another process goes
 * on with them, nor before one has left them to us. */
void edge_sockets(const struct edge *e, struct handed_list *to);
void edge_own_files(struct edge *e, bool own);
/* Opens the access log's file again, which has been renamed perhaps. On error it stays with the one
 * that is open. */
enum err edge_reopen_log(struct edge *e, struct buf *why) MUST_CHECK;
/* Whether another file has taken its place. */
bool edge_log_moved(const struct edge *e);
/* Lets requests end, then `done` from the loop; with `now` they are cut off. May be called again
 * to hurry. */
void edge_stop(struct edge *e, bool now, void (*done)(void *user), void *user);
/* After `done`, or when edge_new's workers never ran. Accepts NULL; returns NULL. */
struct edge *edge_free(struct edge *e);

/* For status and metrics: what there is at the moment, valid until the loop goes on. */
struct edge_endpoint_view {
  const struct endpoint_record *record;
  const struct endpoint_shared *shared;
  struct replica_shared *const *replicas; /* in the order of record->replicas */
};
/* Start with *at = 0; false at the end. */
bool edge_next(const struct edge *e, size_t *at, struct edge_endpoint_view *view);
/* False: there is no endpoint of that name. */
bool edge_find(const struct edge *e, const char *name, struct edge_endpoint_view *view);
int edge_workers(const struct edge *e);
const struct worker_cell *edge_worker_cell(const struct edge *e, int worker);
/* Whether the fleet is known. */
bool edge_ready(const struct edge *e);
/* Whether tokens are believed no more: store.token_stale_max_s has passed. */
bool edge_tokens_stale(const struct edge *e);
const char *edge_id(const struct edge *e);

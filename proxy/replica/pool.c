#include "proxy/replica/pool.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/pool.h"
#include "lib/net/connect.h"
#include "proxy/config/config.h"
#include "proxy/request/fleet.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

static void connection_release(struct post *p) {
  struct replica_connection *rc = container_of(p, struct replica_connection, free_post);
  replica_unref(rc->replica);
  stash_free(&rc->stash);
  pool_put(rc->worker->replica_connections, rc);
}

void pool_close(struct replica_connection *rc) {
  if (rc->closed)
    return;
  rc->closed = true;
  if (!list_empty(&rc->node)) {
    list_remove(&rc->node);
    rc->replica->idle_count--;
  }
  list_remove(&rc->worker_node);
  transport_close(&rc->transport, rc->tunnel);
  deadline_close(rc->worker->loop, &rc->deadline);
  loop_post(rc->worker->loop, &rc->free_post);
}

/* Not kept: what is not between two messages, and what nobody will ask for again. */
static bool worth_keeping(const struct replica_connection *rc) {
  const struct replica *replica = rc->replica;
  return rc->reusable && rc->sent && !rc->stash.len && !replica->gone &&
         replica->state == REPLICA_READY && !rc->worker->stopping &&
         replica->idle_count < rc->worker->config->replica_idle_max;
}

void pool_return(struct replica_connection *rc) {
  rc->request = NULL;
  if (rc->closed)
    return;
  if (!worth_keeping(rc)) {
    pool_close(rc);
    return;
  }
  rc->used = true;
  list_push_front(&rc->replica->idle, &rc->node);
  rc->replica->idle_count++;
  deadline_set(rc->worker->loop, &rc->deadline,
               loop_now(rc->worker->loop) + rc->worker->config->replica_idle_s * USEC_PER_S);
  transport_resume(&rc->transport);
}

static struct replica_connection *take_idle(struct replica *replica) {
  struct list *first = list_pop_front(&replica->idle);
  if (!first)
    return NULL;
  replica->idle_count--;
  return container_of(first, struct replica_connection, node);
}

static struct replica_connection *connect_new(struct worker *w, struct replica *replica) {
  struct replica_connection *rc = pool_get(w->replica_connections);
  if (!rc)
    return NULL;
  memset(rc, 0, sizeof *rc);
  rc->worker = w;
  rc->stash = (struct stash)STASH_INIT(REPLICA_STASH_BYTES_MAX);
  list_init(&rc->node);
  list_init(&rc->worker_node);
  post_init(&rc->free_post, connection_release);
  deadline_init(&rc->deadline, replica_http1_expired);
  int fd = connect_start(&replica->address);
  if (fd < 0) {
    pool_put(w->replica_connections, rc);
    return NULL;
  }
  rc->replica = replica_ref(replica);
  list_push_back(&w->replica_links, &rc->worker_node);
  if (transport_open(&rc->transport, w->loop, fd, NULL, true, &replica_http1_events) != OK) {
    pool_close(rc);
    return NULL;
  }
  transport_keep_buffered(&rc->transport);
  deadline_set(w->loop, &rc->deadline,
               loop_now(w->loop) + w->config->connect_timeout_s * USEC_PER_S);
  return rc;
}

enum err pool_lease(struct request *r) {
  struct replica_connection *rc = take_idle(r->replica);
  if (!rc)
    rc = connect_new(r->worker, r->replica);
  if (!rc)
    return ERR_IO;
  rc->request = r;
  rc->heard = rc->head_seen = rc->reusable = rc->sent = rc->chunked = rc->tunnel = false;
  rc->scanned = 0;
  r->lease = rc;
  r->replica_ops = &replica_http1;
  r->lease_reused = rc->used;
  r->connected = rc->connected;
  return OK;
}

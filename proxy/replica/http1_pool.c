/* HTTP/1.1 to a replica: which connection a request gets. */
#include <string.h>

#include "lib/base/pool.h"
#include "proxy/replica/http1.h"
#include "proxy/request/fleet.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

static struct replica_connection *connection_of(struct replica_link *l) {
  return container_of(l, struct replica_connection, link);
}

static void closed(struct replica_link *l) {
  connection_of(l)->request = NULL;
}

static void release(struct replica_link *l) {
  struct replica_connection *rc = connection_of(l);
  stash_free(&rc->stash);
  pool_put(l->worker->replica_connections, rc);
}

static const struct link_ops connection_ops = {
    .events = &replica_http1_events,
    .expired = replica_http1_expired,
    .closed = closed,
    .release = release,
};

/* Not kept: what is not between two messages, and what nobody will ask for again. */
static bool worth_keeping(const struct replica_connection *rc) {
  return rc->reusable && rc->sent && !rc->stash.len && link_worth_keeping(&rc->link);
}

void replica_http1_return(struct replica_connection *rc) {
  rc->request = NULL;
  if (!worth_keeping(rc)) {
    link_close(&rc->link);
    return;
  }
  rc->used = true;
  list_push_front(&rc->link.replica->idle, &rc->link.node);
  link_rest(&rc->link);
  transport_resume(&rc->link.transport);
}

static struct replica_connection *take_idle(struct replica *replica) {
  struct list *first = list_pop_front(&replica->idle);
  if (!first)
    return NULL;
  struct replica_link *l = container_of(first, struct replica_link, node);
  link_work(l);
  return connection_of(l);
}

static enum err connect_new(struct worker *w, struct replica *replica,
                            struct replica_connection **out) {
  struct replica_connection *rc = pool_get(w->replica_connections);
  if (!rc)
    return ERR_MEMORY;
  memset(rc, 0, sizeof *rc);
  rc->stash = (struct stash)STASH_INIT(REPLICA_STASH_BYTES_MAX);
  enum err e = link_open(&rc->link, w, replica, &connection_ops);
  if (e)
    pool_put(w->replica_connections, rc);
  else
    *out = rc;
  return e;
}

enum err replica_http1_lease(struct request *r) {
  struct replica_connection *rc = take_idle(r->replica);
  enum err e = rc ? OK : connect_new(r->worker, r->replica, &rc);
  if (e)
    return e;
  rc->request = r;
  rc->heard = rc->head_seen = rc->reusable = rc->sent = rc->chunked = rc->tunnel = false;
  rc->scanned = 0;
  /* An HTTP/2 client may open many streams and take from none. */
  rc->link.transport.read_most = r->http2 ? REPLICA_FIRST_READ_BYTES : 0;
  r->lease = rc;
  r->lease_reused = rc->used;
  r->connected = rc->link.connected;
  return OK;
}

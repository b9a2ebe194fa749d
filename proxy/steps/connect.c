/* A connection to the replica, kept alive from before or new. */
#include "proxy/replica/pool.h"
#include "proxy/request/worker.h"
#include "proxy/steps/steps.h"

/* The replica has no part in it. */
static enum step_result starved(struct request *r) {
  cell_add(&r->worker->cell->connections_missed, 1);
  return request_fail(
      r, (struct failure){.status = 503,
                          .type = "server_error",
                          .code = "overloaded",
                          .message = "The proxy has no connection left to reach a model server.",
                          .retry_after_s = 1});
}

static void connect_cancel(struct request *r) {
  if (r->lease)
    r->replica_ops->cancel(r);
}

enum step_result step_connect(struct request *r) {
  if (!r->lease) {
    r->connect_began_us = loop_now(r->worker->loop);
    enum err e = pool_lease(r);
    if (e == ERR_LIMIT || e == ERR_MEMORY)
      return starved(r);
    if (e) {
      request_replica_lost(r, "The model server cannot be reached.", true);
      return STEP_WAIT;
    }
  }
  if (!r->connected) {
    r->cancel_wait = connect_cancel;
    return STEP_WAIT;
  }
  r->connected_us = loop_now(r->worker->loop);
  return STEP_NEXT;
}

/* A connection to the replica, kept alive from before or new. */
#include "proxy/replica/pool.h"
#include "proxy/request/worker.h"
#include "proxy/steps/steps.h"

static void connect_cancel(struct request *r) {
  if (r->lease)
    r->replica_ops->cancel(r);
}

enum step_result step_connect(struct request *r) {
  if (!r->lease) {
    r->connect_began_us = loop_now(r->worker->loop);
    if (pool_lease(r) != OK) {
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

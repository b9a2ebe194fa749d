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
    enum err e = pool_lease(r);
    if (e == ERR_LIMIT || e == ERR_MEMORY) /* the replica has no part in it */
      return request_fail(r, FAIL_NO_CONNECTION);
    if (e) {
      request_replica_lost(r, FAIL_REPLICA_UNREACHED, true);
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

/* The request goes to the replica; from here on the two pipes run by themselves. */
#include "proxy/steps/steps.h"

static void relay_cancel(struct request *r) {
  if (r->lease)
    r->replica_ops->cancel(r);
}

enum step_result step_relay(struct request *r) {
  if (r->relaying)
    return STEP_WAIT;
  r->cancel_wait = relay_cancel;
  r->relaying = true;
  request_invite(r);
  if (!r->finished)
    r->replica_ops->start(r);
  return STEP_WAIT;
}

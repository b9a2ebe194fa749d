/* The request goes to the replica; from here on the two pipes run by themselves. */
#include "proxy/steps/steps.h"

static void relay_cancel(struct request *r) {
  if (r->lease)
    r->replica_ops->cancel(r);
}

/* A client that waits for leave to send its body gets it now, when somebody is
 * there to take it (RFC 9110, 10.1.1). */
static void invite_body(struct request *r) {
  if (!r->head.expect_continue || r->request_pipe.total || r->request_pipe.ended || r->invited)
    return;
  r->invited = true;
  struct http_head h;
  http_head_init(&h, NULL, 0);
  h.status = 100;
  h.content_length = -1;
  r->client_ops->interim(r, &h);
}

enum step_result step_relay(struct request *r) {
  if (r->relaying)
    return STEP_WAIT;
  r->cancel_wait = relay_cancel;
  r->relaying = true;
  invite_body(r);
  if (!r->finished)
    r->replica_ops->start(r);
  return STEP_WAIT;
}

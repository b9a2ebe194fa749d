/* How much may be asked: by a token, and of a body. */
#include "lib/fleet/meter.h"
#include "proxy/config/config.h"
#include "proxy/request/fleet.h"
#include "proxy/request/worker.h"
#include "proxy/steps/steps.h"

static enum step_result check_token(struct request *r) {
  usec_t retry_us;
  if (!r->meter || meter_enter(r->meter, loop_now(r->worker->loop), &retry_us) == OK) {
    r->metered = r->meter != NULL;
    return STEP_NEXT;
  }
  return request_fail_later(r, FAIL_TOKEN_LIMIT, retry_us);
}

static enum step_result check_tunnel(struct request *r) {
  if (r->endpoint->def->protocol == ENDPOINT_HTTP1)
    return STEP_NEXT;
  return request_fail(r, FAIL_WEBSOCKET);
}

static enum step_result check_body(struct request *r) {
  if (r->head.framing == HTTP_TUNNEL) /* no body, and without an end */
    return check_tunnel(r);
  int64_t limit = r->endpoint->def->body_limit_bytes;
  r->body_limit_bytes = limit ? limit : r->worker->config->body_limit_bytes;
  if (!r->body_limit_bytes)
    return STEP_NEXT;
  int64_t known = r->head.content_length;
  if ((int64_t)r->request_pipe.total > known)
    known = (int64_t)r->request_pipe.total;
  return known <= r->body_limit_bytes ? STEP_NEXT
                                      : request_fail_beyond(r, FAIL_BODY_SIZE, r->body_limit_bytes);
}

enum step_result step_limit(struct request *r) {
  enum step_result result = check_token(r);
  return result == STEP_NEXT ? check_body(r) : result;
}

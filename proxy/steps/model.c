/* At hosts that turn it on, the body says which endpoint: by its member "model". The body
 * is read until it is there, and goes on from then. */
#include "lib/http/json_member.h"
#include "proxy/config/config.h"
#include "proxy/request/fleet.h"
#include "proxy/request/worker.h"
#include "proxy/steps/steps.h"

static enum step_result found(struct request *r) {
  struct slice model = json_member_value(r->seek);
  struct endpoint *e = fleet_model(&r->worker->fleet, model);
  if (e) {
    r->endpoint = endpoint_ref(e);
    return STEP_NEXT;
  }
  if (!r->worker->fleet_known)
    return request_fail(r, FAIL_STARTING_ENDPOINTS);
  return request_fail_naming(r, FAIL_NO_MODEL, model);
}

static void stop_looking(struct request *r) {
  r->seek = NULL;
  r->request_pipe.limit_bytes = (size_t)r->worker->config->pipe_limit_bytes;
}

static enum step_result begin_looking(struct request *r) {
  if (r->request_pipe.ended || r->head.framing == HTTP_TUNNEL)
    return request_fail(r, FAIL_MODEL_NO_BODY);
  r->seek = arena_alloc(&r->arena, sizeof *r->seek);
  if (!r->seek)
    return request_fail(r, FAIL_NO_MEMORY);
  json_member_init(r->seek, SLICE("model"));
  r->request_pipe.limit_bytes = (size_t)r->worker->config->model_body_limit_bytes;
  r->cancel_wait = stop_looking;
  request_invite(r);
  return STEP_WAIT;
}

static enum step_result look(struct request *r) {
  switch (r->seek->result) {
  case JSON_MEMBER_FOUND:
    return found(r);
  case JSON_MEMBER_ABSENT:
    return request_fail(r, FAIL_MODEL_ABSENT);
  case JSON_MEMBER_BAD:
    return request_fail(r, FAIL_MODEL_BAD);
  case JSON_MEMBER_MORE:
    break;
  }
  if (pipe_full(&r->request_pipe))
    return request_fail_beyond(r, FAIL_MODEL_FAR, r->worker->config->model_body_limit_bytes);
  return r->request_pipe.ended ? request_fail(r, FAIL_MODEL_CUT) : STEP_WAIT;
}

enum step_result step_model(struct request *r) {
  if (!r->by_model || r->endpoint)
    return STEP_NEXT;
  if (!r->seek)
    return begin_looking(r);
  enum step_result result = look(r);
  if (result != STEP_WAIT)
    stop_looking(r);
  return result;
}

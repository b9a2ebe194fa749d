/* At hosts that turn it on, the body says which endpoint: by its member "model". The body
 * is read until it is there, and goes on from then. */
#include "lib/http/json_member.h"
#include "proxy/config/config.h"
#include "proxy/request/fleet.h"
#include "proxy/request/worker.h"
#include "proxy/steps/route.h"
#include "proxy/steps/steps.h"

static enum step_result missing(struct request *r, const char *message) {
  return request_fail(r, (struct failure){.status = 400,
                                          .type = "invalid_request_error",
                                          .code = "model_missing",
                                          .param = "model",
                                          .message = message});
}

static enum step_result too_large(struct request *r) {
  long long limit = (long long)r->worker->config->model_body_limit_bytes;
  return request_fail(
      r, (struct failure){.status = 413,
                          .type = "invalid_request_error",
                          .code = "body_too_large",
                          .param = "model",
                          .message = request_text(
                              r, "The body has no \"model\" within its first %lld bytes.", limit)});
}

static enum step_result found(struct request *r) {
  struct slice model = json_member_value(r->seek);
  struct endpoint *e = fleet_model(&r->worker->fleet, model);
  if (e) {
    r->endpoint = endpoint_ref(e);
    return STEP_NEXT;
  }
  if (!r->worker->fleet_known)
    return route_starting(r);
  cell_add(&r->worker->cell->unknown_host, 1);
  return request_fail(
      r, (struct failure){.status = 404,
                          .type = "invalid_request_error",
                          .code = "model_not_found",
                          .param = "model",
                          .message = request_text(
                              r, "The model `%.*s` does not exist here, or is not yours to use.",
                              SLICE_ARG(model))});
}

static void stop_looking(struct request *r) {
  r->seek = NULL;
  r->request_pipe.limit_bytes = (size_t)r->worker->config->pipe_limit_bytes;
}

static enum step_result begin_looking(struct request *r) {
  if (r->request_pipe.ended || r->head.framing == HTTP_TUNNEL)
    return missing(r,
                   "At this host the \"model\" of a JSON body says which endpoint is meant; there "
                   "is no body.");
  r->seek = arena_alloc(&r->arena, sizeof *r->seek);
  if (!r->seek)
    return missing(r, "The proxy has no memory left to look for the model.");
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
    return missing(r, "The JSON body has no member \"model\".");
  case JSON_MEMBER_BAD:
    return missing(r, "The body is not a JSON object with a string \"model\".");
  case JSON_MEMBER_MORE:
    break;
  }
  if (pipe_full(&r->request_pipe))
    return too_large(r);
  return r->request_pipe.ended ? missing(r, "The JSON body ends too early.") : STEP_WAIT;
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

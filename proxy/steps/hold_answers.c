#include "proxy/steps/hold_answers.h"

#include "proxy/request/fleet.h"
#include "proxy/request/worker.h"

enum { RETRY_AFTER_UNKNOWN_S = 5, RETRY_AFTER_MOST_S = 60 };

/* Learned from past cold starts. */
static int64_t retry_after_s(const struct request *r) {
  int64_t s = (r->endpoint->cold_start_ms + 999) / 1000;
  if (s < 1)
    return RETRY_AFTER_UNKNOWN_S;
  return s < RETRY_AFTER_MOST_S ? s : RETRY_AFTER_MOST_S;
}

enum step_result hold_bad_timeout(struct request *r) {
  return request_fail(
      r, (struct failure){.status = 400,
                          .type = "invalid_request_error",
                          .code = "invalid_header",
                          .param = "X-Scale-Up-Timeout",
                          .message = "X-Scale-Up-Timeout must be a whole number of seconds, "
                                     "1 or more."});
}

enum step_result hold_gone(struct request *r) {
  return request_fail(r, (struct failure){.status = 404,
                                          .type = "invalid_request_error",
                                          .code = "endpoint_not_found",
                                          .message = "The endpoint was deleted."});
}

enum step_result hold_paused(struct request *r) {
  return request_fail(r, (struct failure){.status = 400,
                                          .type = "invalid_request_error",
                                          .code = "endpoint_paused",
                                          .message = "The endpoint is paused. Its owner can "
                                                     "resume it."});
}

enum step_result hold_failed(struct request *r) {
  return request_fail(r, (struct failure){.status = 503,
                                          .type = "server_error",
                                          .code = "endpoint_failed",
                                          .message = "The endpoint could not be started. Its "
                                                     "owner can see why."});
}

enum step_result hold_scaling_up(struct request *r) {
  return request_fail(r, (struct failure){.status = 503,
                                          .type = "server_error",
                                          .code = "endpoint_scaling_up",
                                          .message =
                                              "The endpoint is starting. Try again later, or send "
                                              "X-Scale-Up-Timeout: SECONDS to wait for it.",
                                          .retry_after_s = retry_after_s(r)});
}

enum step_result hold_timeout(struct request *r) {
  return request_fail(r, (struct failure){.status = 503,
                                          .type = "server_error",
                                          .code = "scale_up_timeout",
                                          .message = "The endpoint did not become ready within "
                                                     "X-Scale-Up-Timeout.",
                                          .retry_after_s = retry_after_s(r)});
}

enum step_result hold_queue_timeout(struct request *r) {
  return request_fail(r, (struct failure){.status = 429,
                                          .type = "rate_limit_error",
                                          .code = "endpoint_busy",
                                          .message = "Every replica of the endpoint stayed busy.",
                                          .retry_after_s = 1});
}

enum step_result hold_too_many(struct request *r) {
  cell_add(&r->worker->cell->limited, 1);
  return request_fail(r, (struct failure){.status = 429,
                                          .type = "rate_limit_error",
                                          .code = "too_many_requests",
                                          .message = "Too many requests wait for this endpoint.",
                                          .retry_after_s = 1});
}

enum step_result hold_full(struct request *r) {
  cell_add(&r->worker->cell->limited, 1);
  return request_fail(
      r, (struct failure){.status = 503,
                          .type = "server_error",
                          .code = "too_many_held",
                          .message = "Too many requests wait for this endpoint to start.",
                          .retry_after_s = retry_after_s(r)});
}

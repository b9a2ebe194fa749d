/* How much may be asked. */
#include "proxy/config/config.h"
#include "proxy/request/fleet.h"
#include "proxy/request/worker.h"
#include "proxy/steps/steps.h"

enum step_result step_limit(struct request *r) {
  int64_t limit = r->endpoint->def->body_limit_bytes;
  r->body_limit_bytes = limit ? limit : r->worker->config->body_limit_bytes;
  if (!r->body_limit_bytes)
    return STEP_NEXT;
  int64_t known = r->head.content_length;
  if ((int64_t)r->request_pipe.total > known)
    known = (int64_t)r->request_pipe.total;
  if (known <= r->body_limit_bytes)
    return STEP_NEXT;
  cell_add(&r->worker->cell->limited, 1);
  return request_fail(
      r, (struct failure){.status = 413,
                          .type = "invalid_request_error",
                          .code = "body_too_large",
                          .message = request_text(r, "The request body is larger than %lld bytes.",
                                                  (long long)r->body_limit_bytes)});
}

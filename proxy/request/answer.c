#include "proxy/request/answer.h"

#include <assert.h>

#include "lib/http/error_body.h"
#include "proxy/request/fleet.h"
#include "proxy/request/request.h"

static bool origin_allowed(const struct endpoint_cors *cors, struct slice origin) {
  for (char **o = cors->origins; o && *o; o++)
    if (slice_equal(slice_str(*o), SLICE("*")) || slice_equal(slice_str(*o), origin))
      return true;
  return false;
}

enum err answer_cors_fields(struct request *r, struct http_head *h) {
  const struct endpoint_cors *cors = r->endpoint ? &r->endpoint->def->cors : NULL;
  struct slice origin = http_head_value(&r->head, HTTP_ORIGIN);
  if (!cors || !cors->enabled || !origin.len || !origin_allowed(cors, origin))
    return OK;
  enum err e = http_head_add(h, SLICE("access-control-allow-origin"), origin);
  if (!e)
    e = http_head_add(h, SLICE("vary"), SLICE("origin"));
  if (!e && cors->credentials)
    e = http_head_add(h, SLICE("access-control-allow-credentials"), SLICE("true"));
  if (!e && cors->expose && cors->expose[0])
    e = http_head_add(h, SLICE("access-control-expose-headers"), request_list(r, cors->expose));
  return e;
}

static enum err failure_fields(struct request *r, struct http_head *h, size_t body_bytes) {
  enum err e = http_head_add(h, SLICE("content-type"), SLICE("application/json"));
  if (!e)
    e = http_head_add(h, SLICE("content-length"), slice_str(request_text(r, "%zu", body_bytes)));
  if (!e && r->id.len)
    e = http_head_add(h, SLICE("x-request-id"), r->id);
  if (!e && r->retry_after_s)
    e = http_head_add(h, SLICE("retry-after"),
                      slice_str(request_text(r, "%lld", (long long)r->retry_after_s)));
  if (!e && failure_of(r->failure)->authenticate)
    e = http_head_add(h, SLICE("www-authenticate"), SLICE("Bearer"));
  return e ? e : answer_cors_fields(r, h);
}

void answer_failure(struct request *r) {
  const struct failure *f = failure_of(r->failure);
  char body[ANSWER_BODY_BYTES];
  size_t n = http_error_body(body, sizeof body, r->failure_message, f->type, f->param, f->code);
  struct http_field fields[ANSWER_FIELDS_MAX];
  struct http_head h;
  http_head_init(&h, fields, ANSWER_FIELDS_MAX);
  h.status = f->status;
  h.framing = HTTP_LENGTH;
  h.content_length = (int64_t)n;
  r->status = f->status;
  r->response_started = true;
  enum err e = failure_fields(r, &h, n);
  assert(!e); /* there is room for all of them */
  (void)e;
  r->client_ops->answer(r, &h, slice_of(body, n));
}

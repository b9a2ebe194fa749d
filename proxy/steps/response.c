/* The way back of an answer's head. */
#include <string.h>

#include "proxy/request/account.h"
#include "proxy/request/answer.h"
#include "proxy/request/fleet.h"
#include "proxy/request/worker.h"
#include "proxy/steps/steps.h"

bool step_head(struct request *r) {
  r->status = r->answer->status;
  r->first_byte_us = loop_now(r->worker->loop);
  account_open(r);
  return true;
}

/* The fields that end here: those of one hop, and those the proxy says itself. */
static bool stays_behind(const struct request *r, const struct http_field *f) {
  if (f->id == HTTP_CONTENT_LENGTH || f->id == HTTP_X_REQUEST_ID)
    return true;
  return r->endpoint->def->cors.enabled && f->id == HTTP_OTHER &&
         slice_equal_nocase(slice_of(f->name.data, f->name.len < 15 ? f->name.len : 15),
                            SLICE("access-control-"));
}

/* Trailers come when the head has gone. */
static enum err remember_hops(struct request *r, const struct http_head *h) {
  if (h->framing != HTTP_CHUNKED || !http_head_get(h, HTTP_CONNECTION))
    return OK;
  size_t bytes = 0;
  for (int i = 0; i < h->field_count; i++)
    bytes += h->fields[i].id == HTTP_CONNECTION ? h->fields[i].value.len + 1 : 0;
  char *list = arena_alloc(&r->arena, bytes), *at = list;
  if (!list)
    return ERR_MEMORY;
  for (int i = 0; i < h->field_count; i++)
    if (h->fields[i].id == HTTP_CONNECTION) {
      struct slice value = h->fields[i].value;
      at = value.len ? mempcpy(at, value.data, value.len) : at;
      *at++ = ',';
    }
  r->answer_hops = slice_of(list, bytes);
  return OK;
}

/* In place: the array is the worker's, with room for what is added. First marked,
 * then moved, since the Connection field is asked about the others. */
static void drop_fields(const struct request *r, struct http_head *h) {
  for (int i = 0; i < h->field_count; i++) {
    struct http_field *f = &h->fields[i];
    if (f->id != HTTP_CONNECTION && (stays_behind(r, f) || http_field_is_hop_by_hop(h, f)))
      f->id = HTTP_NAMES;
  }
  uint16_t kept = 0;
  for (int i = 0; i < h->field_count; i++)
    if (h->fields[i].id != HTTP_NAMES && h->fields[i].id != HTTP_CONNECTION)
      h->fields[kept++] = h->fields[i];
  h->field_count = kept;
}

bool step_rewrite(struct request *r) {
  struct http_head *h = r->answer;
  enum err e = remember_hops(r, h);
  drop_fields(r, h);
  if (!e && r->id.len)
    e = http_head_add(h, SLICE("x-request-id"), r->id);
  if (!e)
    e = answer_cors_fields(r, h);
  if (e)
    request_fail(r, FAIL_REPLICA_FIELDS);
  return !e;
}

bool step_end(struct request *r) {
  r->response_started = true;
  r->client_ops->head(r, r->answer);
  r->answer = NULL;
  return true;
}

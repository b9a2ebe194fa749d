#include "answer.h"

#include <string.h>

static void answer_status(struct buf *out, int status) {
  if (status == 200)
    buf_text(out, "HTTP/1.1 200 OK\r\n");
  else
    buf_printf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
}

/* HTTP/1.0 knows no chunks: such a body ends with its connection. */
static void answer_framing(struct conn *c, int64_t length) {
  struct request *r = &c->req;
  if (length == ANSWER_CHUNKED && !r->http10)
    buf_text(&c->out, "transfer-encoding: chunked\r\n");
  else if (length < 0)
    r->keep_alive = false;
  else if (r->status != 204 && r->status != 304)
    buf_printf(&c->out, "content-length: %lld\r\n", (long long)length);
  r->chunked = length == ANSWER_CHUNKED && !r->http10;
}

void answer_head(struct conn *c, int status, const char *type, int64_t length, const char *extra) {
  struct request *r = &c->req;
  r->status = status;
  if (engine.draining)
    r->keep_alive = false;
  answer_status(&c->out, status);
  if (type)
    buf_printf(&c->out, "content-type: %s\r\n", type);
  answer_framing(c, length);
  if (extra)
    buf_text(&c->out, extra);
  if (!r->keep_alive)
    buf_text(&c->out, "connection: close\r\n");
  else if (r->http10 || fault_has(&r->faults, FAULT_CLOSE_IDLE))
    buf_text(&c->out, "connection: keep-alive\r\n");
  buf_text(&c->out, "\r\n");
}

static void answer_complete(struct conn *c) {
  c->req.complete = true;
  conn_flush(c);
}

void answer_begin(struct conn *c, int status, const char *type, int64_t length, const char *extra,
                  void (*next)(struct conn *c)) {
  answer_head(c, status, type, length, extra);
  if (c->req.head_only || !length) {
    answer_complete(c);
    return;
  }
  if (!fault_has(&c->req.faults, FAULT_SLOW_BODY)) {
    next(c);
    return;
  }
  conn_flush(c);
  request_later(c, (uint64_t)c->req.faults.value[FAULT_SLOW_BODY] * 1000, next);
}

/* A body that is to be cut off loses its second half. */
static void answer_body(struct conn *c) {
  if (fault_will_cut(&c->req.faults)) {
    buf_add(&c->out, buf_at(&c->body), buf_len(&c->body) / 2);
    conn_flush(c);
    fault_cut(c);
    return;
  }
  buf_add(&c->out, buf_at(&c->body), buf_len(&c->body));
  answer_complete(c);
}

void answer_send(struct conn *c, int status, const char *type) {
  if (status == 204 || status == 304)
    buf_clear(&c->body);
  answer_begin(c, status, type, (int64_t)buf_len(&c->body), NULL, answer_body);
}

void answer_piece(struct conn *c, const char *data, size_t len) {
  if (!len || c->req.head_only)
    return;
  if (c->req.chunked)
    buf_printf(&c->out, "%zx\r\n", len);
  buf_add(&c->out, data, len);
  if (c->req.chunked)
    buf_add(&c->out, "\r\n", 2);
}

void answer_finish(struct conn *c, const char *trailer) {
  if (c->req.chunked && !c->req.head_only) {
    buf_text(&c->out, "0\r\n");
    if (trailer)
      buf_text(&c->out, trailer);
    buf_text(&c->out, "\r\n");
  }
  answer_complete(c);
}

static const char *answer_error_type(int status) {
  switch (status) {
  case 401:
    return "authentication_error";
  case 404:
    return "not_found_error";
  case 429:
    return "rate_limit_error";
  case 503:
    return "service_unavailable";
  default:
    return status < 500 ? "invalid_request_error" : "server_error";
  }
}

void answer_error(struct conn *c, int status, const char *message) {
  buf_clear(&c->body);
  buf_text(&c->body, "{\"error\":{\"message\":");
  buf_json(&c->body, message, strlen(message));
  buf_printf(&c->body, ",\"type\":\"%s\",\"param\":null,\"code\":%d}}", answer_error_type(status),
             status);
  answer_send(c, status, ANSWER_JSON);
}

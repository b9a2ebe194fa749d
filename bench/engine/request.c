#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "request.h"
#include "answer.h"
#include "headers.h"
#include "log.h"
#include "routes.h"

#include <string.h>
#include <strings.h>

static struct conn *first_waiter, *last_waiter;

/* ---- slots: as many model requests at a time as the command line allows, oldest first ---- */

static void slot_wait(struct conn *c) {
  c->req.is_waiting = true;
  c->req.wait_prev = last_waiter;
  c->req.wait_next = NULL;
  if (last_waiter)
    last_waiter->req.wait_next = c;
  else
    first_waiter = c;
  last_waiter = c;
  engine.waiting++;
}

static void slot_stop_waiting(struct conn *c) {
  struct conn *prev = c->req.wait_prev, *next = c->req.wait_next;
  if (prev)
    prev->req.wait_next = next;
  else
    first_waiter = next;
  if (next)
    next->req.wait_prev = prev;
  else
    last_waiter = prev;
  c->req.is_waiting = false;
  engine.waiting--;
}

static bool slot_take(struct conn *c) {
  long max = engine.options.max_concurrency;
  if (c->req.has_slot)
    return true;
  if (max && engine.slots_taken >= (uint64_t)max) {
    slot_wait(c);
    return false;
  }
  c->req.has_slot = true;
  engine.slots_taken++;
  return true;
}

/* The next in line has the slot from here on, but starts from the loop: answers that are given
 * at once would otherwise start each other ever deeper. */
static void slot_release(struct conn *c) {
  struct conn *next = first_waiter;
  c->req.has_slot = false;
  engine.slots_taken--;
  if (!next)
    return;
  slot_stop_waiting(next);
  next->req.has_slot = true;
  engine.slots_taken++;
  request_later(next, 0, request_answer);
}

/* ---- a request's account ---- */

static void request_open(struct conn *c) {
  struct request *r = &c->req;
  r->open = true;
  r->counted = !r->route || !(r->route->flags & ROUTE_QUIET);
  if (r->counted) {
    engine.requests_total++;
    if (++engine.active > engine.peak)
      engine.peak = engine.active;
  }
  log_event(c, "start");
}

static void request_settle(struct conn *c, const char *event) {
  struct request *r = &c->req;
  if (r->is_waiting)
    slot_stop_waiting(c);
  if (r->has_slot)
    slot_release(c);
  if (r->counted)
    engine.active--;
  r->open = r->counted = false;
  r->resume = r->drained = NULL;
  log_event(c, event);
}

void request_end(struct conn *c) {
  request_settle(c, "end");
}

void request_drop(struct conn *c, const char *event) {
  if (!event)
    event = "cut";
  if (!strcmp(event, "abort"))
    engine.aborts_total++;
  request_settle(c, event);
}

void request_later(struct conn *c, uint64_t delay_us, void (*next)(struct conn *c)) {
  if (c->state == CONN_CLOSED)
    return;
  c->req.resume = next;
  timer_set(&c->timer, engine.now_us + delay_us);
}

/* What cannot be understood is refused, and the connection with it: where its next request
 * would begin is not known. */
static void request_refuse(struct conn *c, int status) {
  c->req.keep_alive = false;
  c->req.faults.asked = 0;
  answer_error(c, status, "The request cannot be understood.");
  if (c->req.open && c->state != CONN_CLOSED)
    request_end(c);
  conn_linger(c);
}

/* ---- head ---- */

static void request_header(struct request *r, const struct http_field *f) {
  if (http_text_is(f->name, "content-type"))
    http_text_copy(f->value, r->type, sizeof(r->type));
  else if (http_text_is(f->name, "x-request-id"))
    http_text_copy(f->value, r->id, sizeof(r->id));
  else if (http_text_is(f->name, "x-engine-fault"))
    r->bad_fault |= !fault_parse(&r->faults, f->value);
  else if (http_text_is(f->name, "expect"))
    r->expects_continue = !r->http10 && http_list_has(f->value, "100-continue");
  else if (http_text_is(f->name, "connection")) {
    if (http_list_has(f->value, "close"))
      r->keep_alive = false;
    else if (r->http10 && http_list_has(f->value, "keep-alive"))
      r->keep_alive = true;
  }
}

static void request_fill(struct conn *c, const struct http_head *h) {
  struct request *r = &c->req;
  *r = (struct request){.http10 = h->http10, .keep_alive = !h->http10};
  http_text_copy(h->method, r->method, sizeof(r->method));
  struct http_text path = h->target;
  const char *query = memchr(path.at, '?', path.len);
  if (query)
    path.len = (size_t)(query - path.at);
  http_text_copy(path, r->path, sizeof(r->path));
  r->head_only = !strcmp(r->method, "HEAD");
  r->route = route_find(r->method, r->path, &r->wrong_method);
  for (size_t i = 0; i < h->count; i++)
    request_header(r, &h->fields[i]);
}

static enum request_body request_model_body(struct request *r) {
  if (!strncasecmp(r->type, "multipart/form-data", 19))
    return multipart_begin(&r->multipart, r->type) ? BODY_MULTIPART : BODY_COUNT;
  bool raw =
      !strncasecmp(r->type, "audio/", 6) || !strncasecmp(r->type, "application/octet-stream", 24);
  return raw ? BODY_COUNT : BODY_JSON;
}

/* An echo that waits for something cannot be sent as it comes. */
static enum request_body request_body_use(struct request *r) {
  if (!r->route)
    return BODY_COUNT;
  if (r->route->flags & ROUTE_MODEL)
    return request_model_body(r);
  if (r->route->flags & ROUTE_ECHO)
    return r->faults.asked || r->bad_fault || !engine.loaded ? BODY_KEEP : BODY_ECHO;
  return BODY_COUNT;
}

/* Sent back as it comes, framed as it came. */
static void request_echo_begin(struct conn *c) {
  struct request *r = &c->req;
  int64_t length = r->framing.framing == HTTP_CHUNKED ? ANSWER_CHUNKED : (int64_t)r->framing.left;
  answer_head(c, 200, r->type[0] ? r->type : NULL, length, NULL);
}

static void request_head_end(struct conn *c, const struct http_head *h, size_t bytes) {
  struct request *r = &c->req;
  request_open(c);
  c->state = CONN_BODY;
  if (r->route && r->route->flags & ROUTE_HEADERS)
    headers_describe(&c->body, h);
  bool has_body = r->framing.framing == HTTP_CHUNKED || r->framing.left;
  if (r->expects_continue && has_body && buf_len(&c->in) == bytes)
    buf_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
  if (r->body == BODY_ECHO)
    request_echo_begin(c);
  buf_consume(&c->in, bytes);
  if (has_body && !buf_len(&c->in) && buf_len(&c->out))
    conn_flush(c);
}

bool request_read_head(struct conn *c) {
  static struct http_head head;
  int bytes = http_head_parse(&head, buf_at(&c->in), buf_len(&c->in));
  if (!bytes)
    return false;
  c->req = (struct request){0};
  if (bytes < 0) {
    request_refuse(c, -bytes);
    return false;
  }
  request_fill(c, &head);
  int refused = http_body_begin(&c->req.framing, &head);
  if (refused) {
    request_refuse(c, refused);
    return false;
  }
  c->req.body = request_body_use(&c->req);
  request_head_end(c, &head, (size_t)bytes);
  return true;
}

/* ---- body ---- */

static void request_take(struct conn *c, struct http_text span) {
  struct request *r = &c->req;
  r->body_bytes += span.len;
  switch (r->body) {
  case BODY_JSON:
    json_feed(&r->json, span.at, span.len);
    return;
  case BODY_MULTIPART:
    multipart_feed(&r->multipart, span.at, span.len);
    return;
  case BODY_ECHO:
    answer_piece(c, span.at, span.len);
    return;
  case BODY_KEEP:
    if (buf_len(&c->body) + span.len <= REQUEST_KEPT_MAX_BYTES)
      buf_add(&c->body, span.at, span.len);
    return;
  case BODY_COUNT:
    return;
  }
}

static void request_body_end(struct conn *c) {
  c->state = CONN_ANSWER;
  if (c->req.body == BODY_ECHO)
    answer_finish(c, NULL);
  else
    request_answer(c);
}

static void request_body_bad(struct conn *c) {
  if (c->req.body == BODY_ECHO)
    conn_close(c, "cut"); /* its answer has begun */
  else
    request_refuse(c, 400);
}

bool request_read_body(struct conn *c) {
  for (;;) {
    struct http_text span;
    size_t used;
    enum http_step step =
        http_body_next(&c->req.framing, buf_at(&c->in), buf_len(&c->in), &used, &span);
    if (step == HTTP_SPAN && span.len)
      request_take(c, span);
    buf_consume(&c->in, used);
    if (step == HTTP_SPAN)
      continue;
    if (step == HTTP_END)
      request_body_end(c);
    else if (step == HTTP_BAD)
      request_body_bad(c);
    else if (buf_len(&c->out))
      conn_flush(c);
    return step == HTTP_END;
  }
}

/* ---- answer ---- */

static void request_no_route(struct conn *c) {
  if (c->req.wrong_method)
    answer_error(c, 405, "The path does not take this method.");
  else
    answer_error(c, 404, "There is no such path.");
}

void request_answer(struct conn *c) {
  const struct request *r = &c->req;
  const struct route *route = r->route;
  if (!engine.loaded && !(route && route->flags & ROUTE_ALWAYS))
    answer_error(c, 503, "The model is loading.");
  else if (r->bad_fault)
    answer_error(c, 400, "x-engine-fault names a fault that does not exist.");
  else if (fault_before(c))
    return;
  else if (!route)
    request_no_route(c);
  else if (!(route->flags & ROUTE_MODEL) || slot_take(c))
    route->handle(c);
}

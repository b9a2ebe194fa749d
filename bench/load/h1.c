/* HTTP/1.1 over a connection: one request at a time. */
#include <stdlib.h>
#include <string.h>

#include "bench/load/conn.h"
#include "bench/load/exchange.h"
#include "bench/load/load.h"

enum { FIELDS_MAX = 128 };

static struct exchange *h1_current(const struct conn *c) {
  return list_empty(&c->active) ? NULL : container_of(c->active.next, struct exchange, node);
}

static bool h1_open(struct conn *c) {
  memset(&c->h1, 0, sizeof c->h1);
  return true;
}

static void carry_drop(struct conn *c) {
  free(c->h1.carry);
  c->h1.carry = NULL;
  c->h1.carry_len = 0;
}

static void h1_close(struct conn *c) {
  carry_drop(c);
}

static bool h1_has_room(const struct conn *c) {
  return list_empty(&c->active);
}

static void h1_begin(struct conn *c, struct exchange *x) {
  c->h1.in_body = false;
}

/* ---- out ---- */

static size_t head_put(const struct exchange *x, char *to, size_t room) {
  struct http1_out o = {.at = to, .end = to + room};
  http1_put(&o, x->row->head);
  if (x->authorization.len)
    http1_put_field(&o, SLICE("authorization"), x->authorization);
  if (workload_has_body(x->row))
    http1_put_field(&o, SLICE("content-length"), slice_str(x->body.length_text));
  http1_put_end(&o);
  return (size_t)(o.at - to);
}

static size_t h1_pull(struct conn *c, char *to, size_t room) {
  struct exchange *x = h1_current(c);
  size_t n = 0;
  if (!x || x->sent)
    return 0;
  if (!x->head_put) {
    n = head_put(x, to, room);
    x->head_put = true;
  }
  n += workload_body_copy(&x->body, to + n, room - n);
  if (x->body.done == x->body.length)
    exchange_sent(x);
  return n;
}

/* ---- in ---- */

static void h1_broken(struct conn *c, struct exchange *x) {
  conn_fail(c);
  exchange_fail(x, ERROR_PROTOCOL);
}

/* What is not complete waits for more. */
static void carry_keep(struct conn *c, struct exchange *x, struct slice in) {
  char *kept = in.len <= CONN_CARRY_BYTES_MAX ? malloc(in.len ? in.len : 1) : NULL;
  if (!kept) {
    h1_broken(c, x);
    return;
  }
  memcpy(kept, in.data, in.len);
  carry_drop(c);
  c->h1.carry = kept;
  c->h1.carry_len = in.len;
}

/* The bytes kept, with those that came behind them, as memory that the caller frees. */
static char *carry_join(struct conn *c, struct slice *in) {
  char *joined = malloc(c->h1.carry_len + in->len);
  if (!joined)
    return NULL;
  memcpy(joined, c->h1.carry, c->h1.carry_len);
  memcpy(joined + c->h1.carry_len, in->data, in->len);
  *in = slice_of(joined, c->h1.carry_len + in->len);
  carry_drop(c);
  return joined;
}

/* False when the head is not complete, or was the last word here. */
static bool head_take(struct conn *c, struct exchange *x, struct slice *in) {
  struct http_field fields[FIELDS_MAX];
  struct http_head head;
  size_t scanned = 0, n = http1_head_end(*in, &scanned);
  if (n == 0) {
    carry_keep(c, x, *in);
    return false;
  }
  http_head_init(&head, fields, FIELDS_MAX);
  if (http1_parse_response(slice_of(in->data, n), http_method_find(x->row->method), &head) != OK) {
    h1_broken(c, x);
    return false;
  }
  *in = slice_skip(*in, n);
  if (http_head_is_interim(&head))
    return true;
  http1_body_init(&c->h1.body, &head);
  c->h1.keep = head.keep_alive && head.framing != HTTP_TUNNEL;
  c->h1.in_body = true;
  exchange_head(x, head.status);
  return h1_current(c) == x;
}

/* An answer that is over before the request was leaves a connection that is good for nothing. */
static void message_end(struct conn *c, struct exchange *x) {
  c->h1.in_body = false;
  if (!c->h1.keep || !x->sent)
    conn_fail(c);
  exchange_complete(x);
}

/* False when the input is used up, or the message over. */
static bool body_take(struct conn *c, struct exchange *x, struct slice *in) {
  struct slice span, value;
  switch (http1_body_next(&c->h1.body, in, &span, &value)) {
  case HTTP1_DATA:
    exchange_take(x, span);
    return true;
  case HTTP1_TRAILER:
    return true;
  case HTTP1_MORE:
    if (in->len)
      carry_keep(c, x, *in);
    *in = SLICE_NONE;
    return false;
  case HTTP1_END:
    message_end(c, x);
    return false;
  case HTTP1_BAD:
    break;
  }
  h1_broken(c, x);
  return false;
}

static void h1_take(struct conn *c, struct slice in) {
  char *joined = c->h1.carry_len ? carry_join(c, &in) : NULL;
  struct exchange *x = h1_current(c);
  bool more = x != NULL;
  while (more && (in.len || c->h1.in_body))
    more = c->h1.in_body ? body_take(c, x, &in) : head_take(c, x, &in);
  if (in.len && list_empty(&c->active) && !c->h1.carry_len)
    conn_fail(c); /* words that nobody asked for */
  free(joined);
}

static void h1_give_up(struct conn *c, struct exchange *x) {
  conn_fail(c);
}

static void h1_lost(struct conn *c, struct exchange *x, bool orderly) {
  if (c->h1.in_body && http1_body_may_close(&c->h1.body, orderly))
    exchange_complete(x);
  else
    exchange_cut(x, ERROR_RESET);
}

const struct protocol h1 = {
    .open = h1_open,
    .has_room = h1_has_room,
    .begin = h1_begin,
    .take = h1_take,
    .pull = h1_pull,
    .give_up = h1_give_up,
    .lost = h1_lost,
    .close = h1_close,
};

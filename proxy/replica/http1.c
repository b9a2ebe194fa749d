/* HTTP/1.1 to a replica: reading answers (RFC 9112). Bytes are parsed where they
 * were read and handed on at once. Requests are written in http1_send.c. */
#include "proxy/replica/http1.h"
#include "proxy/replica/loss.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

static struct replica_connection *connection_of(struct transport *t) {
  return container_of(t, struct replica_connection, link.transport);
}

/* The connection is of no use any more. */
static struct request *detach(struct replica_connection *rc) {
  struct request *r = rc->request;
  rc->request = NULL;
  if (r) {
    r->lease = NULL;
    pipe_disconnect(&r->request_pipe);
  }
  link_close(&rc->link);
  return r;
}

static void lost_before_head(struct replica_connection *rc, enum failure_kind why, bool refused) {
  bool heard = rc->heard;
  struct request *r = detach(rc);
  if (!r)
    return;
  r->lease_reused = r->lease_reused && !heard; /* it has been looked at: not to be sent again */
  loss_before_head(r, why, refused);
}

static void broke_in_body(struct replica_connection *rc) {
  struct request *r = detach(rc);
  if (r)
    loss_in_body(r);
}

/* The answer is complete. The connection goes back before the client hears of it:
 * its next request may want it. A tunnel is over for both directions. */
static void answer_over(struct replica_connection *rc) {
  struct request *r = rc->request;
  if (rc->tunnel)
    pipe_close(&r->request_pipe);
  rc->tunnel = rc->link.cut = false;
  if (rc->sent) {
    r->lease = NULL;
    replica_http1_return(rc);
  }
  pipe_end(&r->response_pipe);
}

static void answer_credit(struct pipe *p, size_t n) {
  struct request *r = p->source_self;
  struct replica_connection *rc = r->lease;
  if (rc && n)
    rc->link.transport.read_most = 0;
  if (rc && rc->link.transport.paused && !pipe_full(p))
    transport_resume(&rc->link.transport);
}

static const struct pipe_source_ops answer_source = {.credit = answer_credit};

/* Unasked for, 101 would make the connection something else. */
static enum err parse_head(struct replica_connection *rc, struct slice in, struct http_head *h) {
  struct worker *w = rc->link.worker;
  http_head_init(h, w->fields, WORKER_FIELDS_MAX - REPLICA_HEAD_SPARE);
  enum err e = http1_parse_response(in, rc->request->head.method, h);
  h->field_max = WORKER_FIELDS_MAX;
  bool granted = h->framing == HTTP_TUNNEL && rc->request->head.framing == HTTP_TUNNEL;
  return e ? e : h->status == 101 && !granted ? ERR_SYNTAX : OK;
}

/* `more`: bytes came behind the head. */
static void final_head(struct replica_connection *rc, struct http_head *h, bool more) {
  struct request *r = rc->request;
  http1_body_init(&rc->body, h);
  rc->head_seen = true;
  rc->reusable =
      h->keep_alive && r->head.framing != HTTP_TUNNEL && !(more && h->framing == HTTP_NO_BODY);
  rc->tunnel = h->framing == HTTP_TUNNEL;
  rc->link.cut = rc->tunnel;
  deadline_clear(&rc->link.deadline);
  r->response_pipe.source = &answer_source;
  r->response_pipe.source_self = r;
  if (!request_response_head(r, h) || rc->request != r)
    return;
  if (rc->tunnel)
    replica_http1_open_tunnel(rc);
  else if (h->framing == HTTP_NO_BODY)
    answer_over(rc);
}

/* Returns how many bytes were used: a whole head, or none. */
static size_t read_head(struct replica_connection *rc, struct slice in) {
  size_t n = http1_head_end(in, &rc->scanned);
  if (n == 0 && in.len < REPLICA_HEAD_BYTES_MAX)
    return 0;
  rc->scanned = 0;
  struct http_head h;
  if (n == 0 || parse_head(rc, slice_of(in.data, n), &h) != OK) {
    lost_before_head(rc, FAIL_REPLICA_NOT_HTTP1, false);
    return in.len;
  }
  if (http_head_is_interim(&h))
    request_response_head(rc->request, &h);
  else
    final_head(rc, &h, n < in.len);
  return n;
}

/* Whether enough waits for the client; for one that has not taken anything yet that is little. */
static bool far_ahead(const struct replica_connection *rc, const struct pipe *p) {
  size_t most = rc->link.transport.read_most;
  return pipe_full(p) || (most && p->queue.len >= most / 2);
}

static void body_bytes(struct replica_connection *rc, struct slice span) {
  struct request *r = rc->request;
  if (pipe_write(&r->response_pipe, span) != OK) {
    broke_in_body(rc);
    return;
  }
  if (rc->request == r && far_ahead(rc, &r->response_pipe))
    transport_pause(&rc->link.transport);
}

static size_t read_body(struct replica_connection *rc, struct slice in) {
  size_t before = in.len;
  struct request *r = rc->request;
  while (rc->request == r) {
    struct slice span, value;
    enum http1_event event = http1_body_next(&rc->body, &in, &span, &value);
    if (event == HTTP1_DATA) {
      body_bytes(rc, span);
    } else if (event == HTTP1_TRAILER) {
      request_trailer(r, &r->response_pipe, span, value);
    } else if (event == HTTP1_BAD) {
      broke_in_body(rc);
    } else if (event == HTTP1_END) {
      if (in.len)
        rc->reusable = false;
      answer_over(rc);
      return before;
    } else {
      break;
    }
  }
  return before - in.len;
}

static size_t consume(struct replica_connection *rc, struct slice in) {
  size_t before = in.len;
  struct request *r = rc->request;
  while (in.len && rc->request == r && !rc->link.closed) {
    size_t n = rc->head_seen ? read_body(rc, in) : read_head(rc, in);
    if (n == 0)
      break;
    in = slice_skip(in, n);
  }
  return before - in.len;
}

static void too_large(struct replica_connection *rc) {
  if (rc->head_seen)
    broke_in_body(rc);
  else
    lost_before_head(rc, FAIL_REPLICA_HEAD_SIZE, false);
}

/* What is left is the beginning of a head or of a trailer line. */
static void keep_rest(struct replica_connection *rc, struct slice rest) {
  if (rest.len && rc->request && !rc->link.closed && stash_append(&rc->stash, rest) != OK)
    too_large(rc);
}

static void on_bytes(struct transport *t, struct slice bytes) {
  struct replica_connection *rc = connection_of(t);
  if (rc->link.closed)
    return;
  if (!rc->request) { /* nobody asked */
    link_close(&rc->link);
    return;
  }
  rc->heard = true;
  if (rc->stash.len == 0) {
    size_t used = consume(rc, bytes);
    keep_rest(rc, slice_skip(bytes, used));
    return;
  }
  if (stash_append(&rc->stash, bytes) != OK) {
    too_large(rc);
    return;
  }
  /* Emptied first: what follows the answer's end may look whether it is clean. */
  struct slice all = stash_take(&rc->stash);
  size_t used = consume(rc, all);
  keep_rest(rc, slice_skip(all, used));
}

static void on_ready(struct transport *t) {
  struct replica_connection *rc = connection_of(t);
  rc->link.connected = true;
  deadline_clear(&rc->link.deadline);
  if (!rc->request)
    return;
  rc->request->connected = true;
  request_wake(rc->request);
}

static void on_drained(struct transport *t) {
  struct replica_connection *rc = connection_of(t);
  if (rc->tunnel && !t->finishing)
    deadline_clear(&rc->link.deadline);
  if (rc->request)
    pipe_pump(&rc->request->request_pipe);
}

static void on_end(struct transport *t, enum transport_end end) {
  struct replica_connection *rc = connection_of(t);
  if (!rc->request)
    link_close(&rc->link);
  else if (!rc->link.connected)
    lost_before_head(rc, FAIL_REPLICA_REFUSED, true);
  else if (!rc->head_seen)
    lost_before_head(rc, FAIL_REPLICA_CLOSED, false);
  else if (t->finishing || http1_body_may_close(&rc->body, end == TRANSPORT_EOF))
    answer_over(rc);
  else
    broke_in_body(rc);
}

const struct transport_events replica_http1_events = {
    .on_ready = on_ready,
    .on_bytes = on_bytes,
    .on_drained = on_drained,
    .on_end = on_end,
};

static void tunnel_stalled(struct replica_connection *rc) {
  if (rc->link.transport.bytes_out != rc->stall_mark)
    replica_http1_watch_tunnel(rc);
  else
    broke_in_body(rc);
}

void replica_http1_expired(struct replica_link *l) {
  struct replica_connection *rc = container_of(l, struct replica_connection, link);
  if (!rc->request)
    link_close(l);
  else if (rc->tunnel)
    tunnel_stalled(rc);
  else if (!l->connected)
    lost_before_head(rc, FAIL_REPLICA_CONNECT_TIMEOUT, true);
  else
    loss_of_patience(detach(rc));
}

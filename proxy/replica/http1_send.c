/* HTTP/1.1 to a replica: writing requests. */
#include <string.h>

#include "lib/http/http1.h"
#include "proxy/config/config.h"
#include "proxy/replica/pool.h"
#include "proxy/request/fleet.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

static bool put(struct replica_connection *rc, const struct iovec *iov, int count) {
  return transport_send(&rc->transport, iov, count) == OK;
}

void replica_http1_watch_tunnel(struct replica_connection *rc) {
  rc->stall_mark = rc->transport.bytes_out;
  deadline_set(rc->worker->loop, &rc->deadline,
               loop_now(rc->worker->loop) + rc->worker->config->write_stall_s * USEC_PER_S);
}

static bool full(struct replica_connection *rc) {
  if (!transport_full(&rc->transport))
    return false;
  if (rc->tunnel && rc->deadline.at == USEC_NEVER)
    replica_http1_watch_tunnel(rc);
  return true;
}

/* A write that failed is reported by the loop as the connection's end; until then
 * the bytes count as taken. */
static size_t body_write(struct pipe *p, struct slice bytes) {
  struct replica_connection *rc = p->sink_self;
  if (bytes.len == 0 || full(rc))
    return 0;
  char size[HTTP1_CHUNK_HEAD_BYTES];
  if (!rc->chunked) {
    struct iovec iov = {(void *)bytes.data, bytes.len};
    put(rc, &iov, 1);
    return bytes.len;
  }
  struct iovec iov[] = {
      {size, http1_chunk_head(size, bytes.len)},
      {(void *)bytes.data, bytes.len},
      {(void *)"\r\n", 2},
  };
  put(rc, iov, 3);
  return bytes.len;
}

static void body_end(struct pipe *p) {
  struct replica_connection *rc = p->sink_self;
  if (rc->chunked) {
    char *start = rc->worker->head_bytes;
    struct http1_out out = {start, start + WORKER_HEAD_BYTES, false};
    http1_put(&out, SLICE("0\r\n"));
    for (int i = 0; i < p->trailer_count; i++)
      http1_put_field(&out, p->trailers[i].name, p->trailers[i].value);
    http1_put_end(&out);
    struct iovec iov = {start, (size_t)(out.at - start)};
    put(rc, &iov, 1);
  }
  rc->sent = true;
}

/* The client has closed; the replica is given time to do so. */
static void tunnel_end(struct pipe *p) {
  struct replica_connection *rc = p->sink_self;
  transport_finish(&rc->transport);
  replica_http1_watch_tunnel(rc);
}

static const struct pipe_sink_ops body_sink = {.write = body_write, .end = body_end};
static const struct pipe_sink_ops tunnel_sink = {.write = body_write, .end = tunnel_end};

void replica_http1_open_tunnel(struct replica_connection *rc) {
  pipe_connect(&rc->request->request_pipe, &tunnel_sink, rc);
}

/* Ours to say, not the client's, unless it is a peer we trust. */
static bool forwarding(enum http_name id) {
  return id == HTTP_FORWARDED || id == HTTP_X_FORWARDED_FOR || id == HTTP_X_FORWARDED_HOST ||
         id == HTTP_X_FORWARDED_PORT || id == HTTP_X_FORWARDED_PROTO || id == HTTP_X_REAL_IP;
}

static bool goes_on(const struct request *r, const struct http_field *f) {
  switch (f->id) {
  case HTTP_OTHER:
  case HTTP_ACCEPT:
  case HTTP_CONTENT_TYPE:
    break;
  case HTTP_HOST:
  case HTTP_CONTENT_LENGTH:
  case HTTP_EXPECT:
  case HTTP_COOKIE: /* put as one field, see put_cookies */
  case HTTP_X_REQUEST_ID:
  case HTTP_X_SCALE_UP_TIMEOUT:
  case HTTP_X_FORWARDED_FOR:
    return false;
  case HTTP_AUTHORIZATION:
    return r->endpoint->def->pass_token;
  default:
    if (forwarding(f->id) && !r->trusted_peer)
      return false;
  }
  return !http_field_is_hop_by_hop(&r->head, f);
}

/* HTTP/2 clients may send a cookie in crumbs (RFC 9113, 8.2.3). */
static void put_cookies(struct http1_out *out, const struct http_head *h) {
  bool first = true;
  for (int i = 0; i < h->field_count; i++) {
    if (h->fields[i].id != HTTP_COOKIE)
      continue;
    http1_put(out, first ? SLICE("cookie: ") : SLICE("; "));
    http1_put(out, h->fields[i].value);
    first = false;
  }
  if (!first)
    http1_put(out, SLICE("\r\n"));
}

/* A trusted peer's list is continued, another's is not believed. */
static void put_forwarded_for(struct http1_out *out, const struct request *r) {
  http1_put(out, SLICE("x-forwarded-for: "));
  for (int i = 0; r->trusted_peer && i < r->head.field_count; i++)
    if (r->head.fields[i].id == HTTP_X_FORWARDED_FOR) {
      http1_put(out, r->head.fields[i].value);
      http1_put(out, SLICE(", "));
    }
  http1_put(out, slice_str(r->peer_text));
  http1_put(out, SLICE("\r\n"));
}

static void put_forwarded(struct http1_out *out, const struct request *r) {
  const struct http_head *h = &r->head;
  put_forwarded_for(out, r);
  if (!r->trusted_peer || !http_head_get(h, HTTP_X_FORWARDED_PROTO))
    http1_put_field(out, SLICE("x-forwarded-proto"), r->secure ? SLICE("https") : SLICE("http"));
  if (!r->trusted_peer || !http_head_get(h, HTTP_X_FORWARDED_HOST))
    http1_put_field(out, SLICE("x-forwarded-host"), h->authority);
  if (r->local_port && (!r->trusted_peer || !http_head_get(h, HTTP_X_FORWARDED_PORT)))
    http1_put_number_field(out, SLICE("x-forwarded-port"), r->local_port);
}

/* The route's prefix is cut off; what is left begins with a slash. */
static void put_request_line(struct http1_out *out, const struct request *r) {
  struct slice target = slice_skip(r->head.target, r->strip);
  http1_put(out, r->head.method_text);
  http1_put(out, SLICE(" "));
  if (target.len == 0 || (target.data[0] != '/' && target.data[0] != '*'))
    http1_put(out, SLICE("/"));
  http1_put(out, target);
  http1_put(out, SLICE(" HTTP/1.1\r\n"));
}

static void put_framing(struct http1_out *out, const struct http_head *h, bool chunked) {
  if (chunked)
    http1_put_field(out, SLICE("transfer-encoding"), SLICE("chunked"));
  else if (h->content_length >= 0)
    http1_put_number_field(out, SLICE("content-length"), h->content_length);
}

static void cancel(struct request *r) {
  struct replica_connection *rc = r->lease;
  r->lease = NULL;
  rc->request = NULL;
  pipe_disconnect(&r->request_pipe);
  pool_close(rc);
}

static void start(struct request *r) {
  struct replica_connection *rc = r->lease;
  const struct http_head *h = &r->head;
  char *begin = r->worker->head_bytes;
  struct http1_out out = {begin, begin + WORKER_HEAD_BYTES, false};
  rc->chunked = h->framing == HTTP_CHUNKED;
  put_request_line(&out, r);
  http1_put_field(&out, SLICE("host"), h->authority.len ? h->authority : r->endpoint->name);
  for (int i = 0; i < h->field_count; i++)
    if (goes_on(r, &h->fields[i]))
      http1_put_field(&out, h->fields[i].name, h->fields[i].value);
  put_cookies(&out, h);
  put_forwarded(&out, r);
  if (r->id.len)
    http1_put_field(&out, SLICE("x-request-id"), r->id);
  if (h->framing == HTTP_TUNNEL)
    http1_put_upgrade(&out);
  put_framing(&out, h, rc->chunked);
  http1_put_end(&out);
  struct iovec iov = {begin, (size_t)(out.at - begin)};
  if (out.failed || !put(rc, &iov, 1)) {
    cancel(r);
    request_replica_lost(r, "The request could not be sent to the model server.", false);
    return;
  }
  int64_t wait_s = r->endpoint->def->head_timeout_s;
  if (wait_s == 0)
    wait_s = r->worker->config->replica_head_timeout_s;
  deadline_set(r->worker->loop, &rc->deadline, loop_now(r->worker->loop) + wait_s * USEC_PER_S);
  if (h->framing == HTTP_TUNNEL) /* what the client sends waits for the 101 */
    rc->sent = true;
  else
    pipe_connect(&r->request_pipe, &body_sink, rc);
}

const struct replica_ops replica_http1 = {.start = start, .cancel = cancel};

/* HTTP/1 to a client: writing answers (RFC 9112). */
#include "lib/http/http1.h"
#include "proxy/client/client.h"
#include "proxy/config/config.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

static bool put(struct client *c, const struct iovec *iov, int count) {
  if (!c->closed && transport_send(&c->transport, iov, count) == OK)
    return true;
  client_close(c, true);
  return false;
}

/* What comes from the client now goes on to the replica, its last bytes before its end too. */
static void open_tunnel(struct client *c) {
  c->http1.place = HTTP1_AT_TUNNEL;
  transport_keep_buffered(&c->transport);
}

/* A client that takes nothing is given write_stall_s. */
static bool stalled(struct client *c) {
  if (!transport_full(&c->transport))
    return false;
  if (c->deadline.at == USEC_NEVER)
    client_watch_stall(c);
  return true;
}

static size_t body_write(struct pipe *p, struct slice bytes) {
  struct client *c = p->sink_self;
  if (bytes.len == 0 || stalled(c))
    return 0;
  if (!c->http1.chunked) {
    struct iovec iov = {(void *)bytes.data, bytes.len};
    return put(c, &iov, 1) ? bytes.len : 0;
  }
  char size[HTTP1_CHUNK_HEAD_BYTES];
  struct iovec iov[] = {
      {size, http1_chunk_head(size, bytes.len)},
      {(void *)bytes.data, bytes.len},
      {(void *)"\r\n", 2},
  };
  return put(c, iov, 3) ? bytes.len : 0;
}

static void last_chunk(struct client *c, const struct pipe *p) {
  char *start = c->worker->head_bytes;
  struct http1_out out = {start, start + WORKER_HEAD_BYTES, false};
  http1_put(&out, SLICE("0\r\n"));
  for (int i = 0; i < p->trailer_count; i++)
    http1_put_field(&out, p->trailers[i].name, p->trailers[i].value);
  http1_put_end(&out);
  struct iovec iov = {start, (size_t)(out.at - start)};
  put(c, &iov, 1);
}

static void body_end(struct pipe *p) {
  struct client *c = p->sink_self;
  struct request *r = c->http1.request;
  if (c->http1.chunked)
    last_chunk(c, p);
  if (!c->closed)
    request_response_complete(r);
}

static const struct pipe_sink_ops body_sink = {.write = body_write, .end = body_end};

static void put_fields(struct http1_out *out, const struct http_head *h) {
  for (int i = 0; i < h->field_count; i++)
    if (h->fields[i].id != HTTP_CONTENT_LENGTH)
      http1_put_field(out, h->fields[i].name, h->fields[i].value);
}

static void put_framing(struct http1_out *out, const struct client *c, const struct http_head *h) {
  if (c->http1.chunked)
    http1_put_field(out, SLICE("transfer-encoding"), SLICE("chunked"));
  else if (h->content_length >= 0 && h->status >= 200 && h->status != 204)
    http1_put_number_field(out, SLICE("content-length"), h->content_length);
}

static bool old_client(const struct request *r) {
  return r->head.minor_version == 0;
}

static void put_connection(struct http1_out *out, const struct client *c, const struct request *r) {
  if (c->http1.place == HTTP1_AT_TUNNEL)
    http1_put_upgrade(out);
  else if (!c->http1.keep_alive)
    http1_put_field(out, SLICE("connection"), SLICE("close"));
  else if (old_client(r))
    http1_put_field(out, SLICE("connection"), SLICE("keep-alive"));
}

static void send_head(struct client *c, struct request *r, const struct http_head *h,
                      struct slice body) {
  struct http1_client *h1 = &c->http1;
  bool has_body = r->head.method != HTTP_HEAD && h->framing != HTTP_NO_BODY;
  bool endless = has_body && h->framing != HTTP_LENGTH;
  h1->until_close = endless && (h->framing == HTTP_TUNNEL || old_client(r));
  h1->chunked = endless && !h1->until_close;
  h1->keep_alive = client_http1_keeps(c) && !h1->until_close;
  char *start = c->worker->head_bytes;
  struct http1_out out = {start, start + WORKER_HEAD_BYTES, false};
  http1_put_status_line(&out, h->status, h->reason);
  put_fields(&out, h);
  put_framing(&out, c, h);
  put_connection(&out, c, r);
  http1_put_end(&out);
  if (out.failed) {
    client_close(c, true);
    return;
  }
  struct iovec iov[] = {{start, (size_t)(out.at - start)}, {(void *)body.data, body.len}};
  put(c, iov, body.len && has_body ? 2 : 1);
}

static void answer_interim(struct request *r, const struct http_head *h) {
  struct client *c = r->client;
  if (old_client(r))
    return;
  char *start = c->worker->head_bytes;
  struct http1_out out = {start, start + WORKER_HEAD_BYTES, false};
  http1_put_status_line(&out, h->status, h->reason);
  for (int i = 0; i < h->field_count; i++)
    if (h->fields[i].id != HTTP_CONTENT_LENGTH && !http_field_is_hop_by_hop(h, &h->fields[i]))
      http1_put_field(&out, h->fields[i].name, h->fields[i].value);
  http1_put_end(&out);
  struct iovec iov = {start, (size_t)(out.at - start)};
  if (!out.failed && put(c, &iov, 1) && h->status == 100)
    client_http1_ask_body(c);
}

static void answer_head(struct request *r, const struct http_head *h) {
  struct client *c = r->client;
  if (h->framing == HTTP_TUNNEL)
    open_tunnel(c);
  send_head(c, r, h, SLICE_NONE);
  if (!c->closed)
    pipe_connect(&r->response_pipe, &body_sink, c);
}

static void answer_own(struct request *r, const struct http_head *h, struct slice body) {
  send_head(r->client, r, h, body);
}

/* Without its last chunk, or short of its length, an answer is visibly broken. */
static void answer_abort(struct request *r) {
  struct client *c = r->client;
  c->http1.broken = true;
}

static void answer_finished(struct request *r) {
  client_http1_next(r->client);
}

const struct client_ops http1_answer_ops = {
    .interim = answer_interim,
    .head = answer_head,
    .answer = answer_own,
    .abort = answer_abort,
    .finished = answer_finished,
};

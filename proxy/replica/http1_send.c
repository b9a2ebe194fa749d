/* HTTP/1.1 to a replica: writing requests. */
#include <string.h>

#include "lib/http/http1.h"
#include "proxy/config/config.h"
#include "proxy/replica/forward.h"
#include "proxy/replica/http1.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

static bool put(struct replica_connection *rc, const struct iovec *iov, int count) {
  return transport_send(&rc->link.transport, iov, count) == OK;
}

void replica_http1_watch_tunnel(struct replica_connection *rc) {
  rc->stall_mark = rc->link.transport.bytes_out;
  struct worker *w = rc->link.worker;
  deadline_set(w->loop, &rc->link.deadline,
               loop_now(w->loop) + w->config->write_stall_s * USEC_PER_S);
}

static bool full(struct replica_connection *rc) {
  if (!transport_full(&rc->link.transport))
    return false;
  if (rc->tunnel && rc->link.deadline.at == USEC_NEVER)
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
    char *start = rc->link.worker->head_bytes;
    struct http1_out out = {start, start + WORKER_HEAD_BYTES, false};
    http1_put(&out, SLICE("0\r\n"));
    for (int i = 0; i < p->trailer_count; i++)
      if (forward_goes_on(rc->request, &p->trailers[i]))
        http1_put_field(&out, p->trailers[i].name, p->trailers[i].value);
    http1_put_end(&out);
    struct iovec iov = {start, (size_t)(out.at - start)};
    put(rc, &iov, 1);
  }
  transport_more_soon(&rc->link.transport, false);
  rc->sent = true;
}

/* The client has closed; the replica is given time to do so. */
static void tunnel_end(struct pipe *p) {
  struct replica_connection *rc = p->sink_self;
  transport_finish(&rc->link.transport);
  replica_http1_watch_tunnel(rc);
}

static const struct pipe_sink_ops body_sink = {.write = body_write, .end = body_end};
static const struct pipe_sink_ops tunnel_sink = {.write = body_write, .end = tunnel_end};

void replica_http1_open_tunnel(struct replica_connection *rc) {
  pipe_connect(&rc->request->request_pipe, &tunnel_sink, rc);
}

struct request_head {
  struct forward forward;
  struct http1_out out;
};

static void put_field(struct forward *f, struct slice name, struct slice value) {
  http1_put_field(&container_of(f, struct request_head, forward)->out, name, value);
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
  link_close(&rc->link);
}

/* False when it has no room, or memory ran out. */
static bool put_head(struct request_head *h, struct request *r, bool chunked) {
  struct slice target = forward_target(r);
  http1_put_request_line(&h->out, r->head.method_text, target);
  http1_put_field(&h->out, SLICE("host"), forward_authority(r));
  bool good = target.data && forward_fields(&h->forward, r);
  if (r->head.framing == HTTP_TUNNEL)
    http1_put_upgrade(&h->out);
  put_framing(&h->out, &r->head, chunked);
  http1_put_end(&h->out);
  return good && !h->out.failed;
}

/* Of a body that follows its head at once, as HTTP/2 clients send it, both go out together. */
static void send_body(struct replica_connection *rc) {
  struct pipe *p = &rc->request->request_pipe;
  if (p->total == 0 && !p->ended)
    transport_more_soon(&rc->link.transport, true);
  pipe_connect(p, &body_sink, rc);
}

static void start(struct request *r) {
  struct replica_connection *rc = r->lease;
  char *begin = r->worker->head_bytes;
  struct request_head h = {{.put = put_field}, {begin, begin + WORKER_HEAD_BYTES, false}};
  rc->chunked = r->head.framing == HTTP_CHUNKED;
  bool good = put_head(&h, r, rc->chunked);
  struct iovec iov = {begin, (size_t)(h.out.at - begin)};
  if (!good || !put(rc, &iov, 1)) {
    cancel(r);
    request_replica_lost(r, FAIL_REPLICA_UNSENT, false);
    return;
  }
  deadline_set(r->worker->loop, &rc->link.deadline, forward_head_due(r));
  if (r->head.framing == HTTP_TUNNEL) /* what the client sends waits for the 101 */
    rc->sent = true;
  else
    send_body(rc);
}

const struct replica_ops replica_http1 = {
    .lease = replica_http1_lease,
    .start = start,
    .cancel = cancel,
};

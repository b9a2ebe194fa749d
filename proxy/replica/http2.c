/* HTTP/2 in clear to a replica, by prior knowledge (RFC 9113, 3.3), over nghttp2:
 * the connection.
 *
 * Requests wait until the replica's SETTINGS have come. Until then nobody knows how
 * many streams it takes, nor whether it speaks HTTP/2 at all; afterwards those that
 * found no room look for another connection. A connection's window is given back at
 * once, a stream's when its bytes have left the response pipe. Nothing closes a
 * connection while nghttp2 is on the stack: that is settled after the flush at the
 * end of the turn. */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "proxy/config/config.h"
#include "proxy/replica/http2.h"
#include "proxy/request/fleet.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

static struct replica_http2 *connection_of(struct transport *t) {
  return container_of(t, struct replica_http2, link.transport);
}

void replica_http2_touch(struct replica_http2 *c) {
  if (c->link.connected && !c->link.closed)
    loop_gather(c->link.worker->loop, &c->flush_post);
}

static bool has_room(const struct replica_http2 *c) {
  return !c->link.closed && !c->doubtful && c->stream_count < c->stream_limit &&
         nghttp2_session_check_request_allowed(c->session);
}

/* In front when room comes back: the others may then fall idle. */
void replica_http2_place(struct replica_http2 *c) {
  bool room = has_room(c);
  if (room == c->listed)
    return;
  c->listed = room;
  list_remove(&c->link.node);
  if (room)
    list_push_front(&c->link.replica->open, &c->link.node);
}

/* Every request hears of it, those too whose answer is under way. */
static void lost(struct replica_http2 *c, enum failure_kind why, bool refused) {
  struct list streams;
  list_init(&streams);
  list_move_all(&streams, &c->streams);
  link_close(&c->link);
  struct list *node;
  while ((node = list_pop_front(&streams)))
    replica_stream_lost(container_of(node, struct replica_stream, node), why, refused);
}

/* False when the connection is no more. */
static bool put_output(struct replica_http2 *c) {
  while (!transport_full(&c->link.transport)) {
    const uint8_t *bytes;
    ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
    if (n == 0)
      break;
    struct iovec iov = {(void *)bytes, n > 0 ? (size_t)n : 0};
    if (n < 0 || transport_send(&c->link.transport, &iov, 1) != OK) {
      lost(c, FAIL_REPLICA_UNSENT, false);
      return false;
    }
  }
  return true;
}

static void say_goodbye(struct replica_http2 *c) {
  nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR);
  if (put_output(c))
    link_close(&c->link);
}

static void rest(struct replica_http2 *c) {
  if (has_room(c) && link_worth_keeping(&c->link))
    link_rest(&c->link);
  else
    say_goodbye(c);
}

static void flush_run(struct post *p) {
  struct replica_http2 *c = container_of(p, struct replica_http2, flush_post);
  if (!put_output(c))
    return;
  if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
    lost(c, c->ready ? FAIL_REPLICA_NOT_HTTP2 : FAIL_REPLICA_NO_HTTP2, false);
  else if (c->ready && c->stream_count == 0 && !c->link.resting)
    rest(c);
}

/* One that takes no stream at all stays unready, until its deadline. */
static void on_settings(struct replica_http2 *c) {
  c->stream_limit =
      nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  if (!c->ready && c->stream_limit) {
    c->ready = true;
    deadline_clear(&c->link.deadline);
    uint32_t room = c->stream_limit;
    list_each (node, &c->streams)
      replica_stream_ready(container_of(node, struct replica_stream, node), room && room--);
  }
  replica_http2_place(c);
}

static struct replica_stream *stream_of(nghttp2_session *session, int32_t id) {
  return nghttp2_session_get_stream_user_data(session, id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user) {
  struct replica_stream *st = stream_of(session, frame->hd.stream_id);
  if (frame->hd.type == NGHTTP2_HEADERS && st)
    replica_stream_field(st, slice_of((const char *)name, name_len),
                         slice_of((const char *)value, value_len));
  return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  struct replica_http2 *c = user;
  struct replica_stream *st = stream_of(session, frame->hd.stream_id);
  bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
  if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
    on_settings(c);
  else if (frame->hd.type == NGHTTP2_GOAWAY)
    replica_http2_place(c);
  else if (frame->hd.type == NGHTTP2_HEADERS && st)
    replica_stream_head(st, ended);
  else if (frame->hd.type == NGHTTP2_DATA && st && ended)
    replica_stream_ended(st);
  return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user) {
  struct replica_stream *st = stream_of(session, id);
  nghttp2_session_consume_connection(session, len);
  if (st && st->request)
    replica_stream_data(st, slice_of((const char *)data, len));
  else
    nghttp2_session_consume_stream(session, id, len);
  return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  struct replica_stream *st = stream_of(session, frame->hd.stream_id);
  if (frame->hd.type == NGHTTP2_HEADERS && st)
    st->sent = true;
  return 0;
}

/* A GOAWAY closes so, as refused, the streams behind the last one that it names. */
static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user) {
  struct replica_stream *st = stream_of(session, id);
  if (st)
    replica_stream_closed(st, code);
  return 0;
}

static nghttp2_session_callbacks *callbacks_new(void) {
  nghttp2_session_callbacks *cb;
  if (nghttp2_session_callbacks_new(&cb))
    return NULL;
  nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
  nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
  nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
  return cb;
}

static int session_open(struct replica_http2 *c) {
  nghttp2_session_callbacks *cb = callbacks_new();
  nghttp2_option *option = NULL;
  int e = cb && nghttp2_option_new(&option) == 0 ? 0 : NGHTTP2_ERR_NOMEM;
  if (!e) {
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, WORKER_HEAD_BYTES);
    e = nghttp2_session_client_new2(&c->session, cb, c, option);
  }
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(cb);
  return e;
}

static int session_settings(struct replica_http2 *c, const struct config *config) {
  nghttp2_settings_entry entries[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)config->http2_window_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, REPLICA_HTTP2_HEAD_BYTES_MAX},
  };
  int e = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, entries,
                                  sizeof entries / sizeof *entries);
  return e ? e
           : nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t)config->http2_connection_window_bytes);
}

static void on_ready(struct transport *t) {
  struct replica_http2 *c = connection_of(t);
  c->link.connected = true;
  replica_http2_touch(c);
}

static void on_bytes(struct transport *t, struct slice bytes) {
  struct replica_http2 *c = connection_of(t);
  if (c->link.closed)
    return;
  if (nghttp2_session_mem_recv(c->session, (const uint8_t *)bytes.data, bytes.len) < 0)
    lost(c, FAIL_REPLICA_NOT_HTTP2, false);
  else
    replica_http2_touch(c);
}

static void on_drained(struct transport *t) {
  replica_http2_touch(connection_of(t));
}

static void on_end(struct transport *t, enum transport_end end) {
  struct replica_http2 *c = connection_of(t);
  if (!c->ready)
    lost(c, c->link.connected ? FAIL_REPLICA_CLOSED_BEFORE_HTTP2 : FAIL_REPLICA_REFUSED, true);
  else
    lost(c, FAIL_REPLICA_CLOSED, false);
}

static const struct transport_events connection_events = {
    .on_ready = on_ready,
    .on_bytes = on_bytes,
    .on_drained = on_drained,
    .on_end = on_end,
};

static void expired(struct replica_link *l) {
  struct replica_http2 *c = container_of(l, struct replica_http2, link);
  if (c->ready)
    say_goodbye(c);
  else
    lost(c, FAIL_REPLICA_CONNECT_TIMEOUT, true);
}

static void closed(struct replica_link *l) {
  struct replica_http2 *c = container_of(l, struct replica_http2, link);
  c->listed = false;
  post_cancel(&c->flush_post);
  list_each (node, &c->streams)
    replica_stream_free(container_of(node, struct replica_stream, node));
}

static void release(struct replica_link *l) {
  struct replica_http2 *c = container_of(l, struct replica_http2, link);
  nghttp2_session_del(c->session);
  free(c);
}

static const struct link_ops connection_ops = {
    .events = &connection_events,
    .expired = expired,
    .closed = closed,
    .release = release,
};

static enum err connect_new(struct worker *w, struct replica *replica, struct replica_http2 **out) {
  struct replica_http2 *c = calloc(1, sizeof *c);
  if (!c)
    return ERR_MEMORY;
  list_init(&c->streams);
  post_init(&c->flush_post, flush_run);
  c->stream_limit = UINT32_MAX;
  enum err e = session_open(c) || session_settings(c, w->config)
                   ? ERR_MEMORY
                   : link_open(&c->link, w, replica, &connection_ops);
  if (e) {
    nghttp2_session_del(c->session);
    free(c);
    return e;
  }
  replica_http2_place(c);
  *out = c;
  return OK;
}

enum err replica_http2_lease(struct request *r) {
  const struct list *open = &r->replica->open;
  struct replica_http2 *c = container_of(open->next, struct replica_http2, link.node);
  enum err e = list_empty(open) ? connect_new(r->worker, r->replica, &c) : OK;
  if (e)
    return e;
  struct replica_stream *st = replica_stream_new(c, r);
  if (!st)
    return ERR_MEMORY;
  if (c->link.resting)
    c->rest_mark = c->link.transport.bytes_in;
  r->lease = st;
  /* Not heard since its rest: it may be closing at this moment. */
  r->lease_reused = c->ready && c->link.transport.bytes_in == c->rest_mark;
  r->connected = c->ready;
  link_work(&c->link);
  return OK;
}

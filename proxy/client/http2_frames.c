/* What nghttp2 tells of the frames of an HTTP/2 client, as it reads and writes them. */
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "proxy/client/client.h"
#include "proxy/client/http2.h"
#include "proxy/config/config.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

enum {
  FIELD_OVERHEAD_BYTES = 32, /* how SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113, 6.5.2) */
  HEAD_LIMITS_MAX = 4,       /* so many times head_limit_bytes are no head any more */
};

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  struct http2_session *s = user;
  s->block_bytes = 0;
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
    return 0;
  struct http2_stream *st = http2_stream_new(s, frame->hd.stream_id);
  if (!st)
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, st);
  list_push_back(&s->streams, &st->node);
  if (s->stream_count++ == 0)
    http2_session_renew(s);
  return 0;
}

/* What goes on far beyond the limit is not a head that is too large but one that is to cost us
 * time: a few octets can name a large field again and again (RFC 9113, 10.5.1). */
static bool block_may_go_on(struct http2_session *s, size_t bytes) {
  s->block_bytes += bytes + FIELD_OVERHEAD_BYTES;
  if (s->block_bytes <= HEAD_LIMITS_MAX * (size_t)s->client->worker->config->head_limit_bytes)
    return true;
  s->verdict = (struct http2_verdict){LIMIT_HEAD_SIZE, NGHTTP2_ENHANCE_YOUR_CALM};
  return false;
}

static void look_for_token(struct http2_session *s, struct slice name, uint8_t flags) {
  if (!slice_equal(name, SLICE("authorization")))
    return;
  s->token_came = s->memory.secret = true;
  if (!(flags & NGHTTP2_NV_FLAG_NO_INDEX))
    s->token_kept = true;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user) {
  if (!block_may_go_on(user, name_len + value_len))
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  struct http2_stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  struct slice n = slice_of((const char *)name, name_len);
  struct slice v = slice_of((const char *)value, value_len);
  look_for_token(user, n, flags);
  if (frame->hd.type != NGHTTP2_HEADERS || !st || !st->request)
    return 0;
  if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
    http2_stream_field(st, n, v);
  else
    request_trailer(st->request, &st->request->request_pipe, n, v);
  return 0;
}

static void end_of_stream(struct http2_stream *st, const nghttp2_frame *frame) {
  if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) || !st->request)
    return;
  http2_stream_begin(st);
  st->remote_ended = true;
  if (st->request) /* it has not been refused at once */
    request_body_end(st->request);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  struct http2_session *s = user;
  s->heard = true;
  struct http2_stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  if (!st)
    return 0;
  if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
    http2_stream_head(st, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
  else if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)
    end_of_stream(st, frame);
  return 0;
}

static size_t uploads_wait(const struct http2_session *s) {
  size_t waits = 0;
  list_each (node, &s->streams) {
    const struct request *r = container_of(node, struct http2_stream, node)->request;
    waits += r ? r->request_pipe.queue.len : 0;
  }
  return waits;
}

/* What waits of all uploads: a held one must not stop the others, so a new one gives way. No more
 * can wait than has come (what is replayed was kept, within its own limit), so the streams are not
 * looked through for each frame. */
static void watch_buffer(struct http2_session *s, struct http2_stream *st, size_t came) {
  if (came <= s->buffer_room) {
    s->buffer_room -= came;
    return;
  }
  struct request *r = st->request;
  if (!r || chunkq_empty(&r->request_pipe.queue))
    return;
  size_t waits = uploads_wait(s), limit = (size_t)s->client->worker->config->http2_buffer_bytes;
  s->buffer_room = waits < limit ? limit - waits : 0;
  if (waits <= limit)
    return;
  cell_add(&s->client->worker->cell->limits[LIMIT_HTTP2_BUFFER], 1);
  request_fail(r, FAIL_UPLOADS_WAIT);
  request_end(r, END_OWN_ANSWER);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user) {
  struct http2_session *s = user;
  s->heard = true;
  struct http2_stream *st = nghttp2_session_get_stream_user_data(session, id);
  nghttp2_session_consume_connection(session, len);
  if (st)
    http2_stream_heard(st);
  if (st)
    http2_stream_begin(st);
  if (st && st->request)
    request_body(st->request, slice_of((const char *)data, len));
  else
    nghttp2_session_consume_stream(session, id, len);
  if (st)
    watch_buffer(s, st, len);
  if (st && !st->request)
    http2_stream_discard(st, len);
  return 0;
}

/* Ours are INTERNAL_ERROR, when a replica broke off, and NO_ERROR; the others the client has
 * brought about. */
static void count_reset(struct http2_session *s, uint32_t code) {
  if (code == NGHTTP2_INTERNAL_ERROR || code == NGHTTP2_NO_ERROR || s->verdict.limit != LIMIT_NONE)
    return;
  s->verdict = http2_guard_reset(&s->guard, loop_now(s->client->worker->loop));
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  if (frame->hd.type == NGHTTP2_RST_STREAM)
    count_reset(user, frame->rst_stream.error_code);
  if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
      (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
    struct http2_stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (st)
      http2_stream_answered(st);
  }
  return 0;
}

/* We reset it; what it asked for is not done any more. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code,
                            void *user) {
  struct http2_stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  if (st)
    list_remove(&st->begin_node);
  return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user) {
  struct http2_stream *st = nghttp2_session_get_stream_user_data(session, id);
  if (!st)
    return 0;
  nghttp2_session_set_stream_user_data(session, id, NULL);
  http2_stream_leave(st);
  http2_stream_free(st);
  return 0;
}

static nghttp2_session_callbacks *callbacks_new(void) {
  nghttp2_session_callbacks *cb;
  if (nghttp2_session_callbacks_new(&cb))
    return NULL;
  nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
  nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
  nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
  return cb;
}

static int session_make(struct http2_session *s) {
  nghttp2_session_callbacks *cb = callbacks_new();
  nghttp2_option *option = NULL;
  int e = cb && nghttp2_option_new(&option) == 0 ? 0 : NGHTTP2_ERR_NOMEM;
  if (!e) {
    nghttp2_option_set_no_auto_window_update(option, 1);
    /* The guard's limits are the narrower ones: it says which it was. */
    const struct config *config = s->client->worker->config;
    nghttp2_option_set_max_continuations(option, (size_t)config->http2_continuations_max + 1);
    nghttp2_option_set_max_settings(option, (size_t)config->http2_settings_max + 1);
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
    e = nghttp2_session_server_new3(&s->session, cb, s, option, &s->memory.hooks);
  }
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(cb);
  return e;
}

static int session_settings(struct http2_session *s) {
  const struct config *config = s->client->worker->config;
  nghttp2_settings_entry entries[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)config->http2_streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)config->http2_window_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)config->head_limit_bytes},
  };
  int e = nghttp2_submit_settings(s->session, NGHTTP2_FLAG_NONE, entries,
                                  sizeof entries / sizeof *entries);
  return e ? e
           : nghttp2_session_set_local_window_size(s->session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t)config->http2_connection_window_bytes);
}

int http2_session_open(struct http2_session *s) {
  int e = session_make(s);
  return e ? e : session_settings(s);
}

/* HTTP/2 over a connection, by nghttp2: many requests at a time. */
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "bench/load/conn.h"
#include "bench/load/exchange.h"
#include "bench/load/load.h"
#include "bench/load/options.h"

enum {
  H2_STREAM_WINDOW_BYTES = 16 << 20,    /* what a server may send ahead on a stream */
  H2_CONNECTION_WINDOW_BYTES = 1 << 30, /* and on all of a connection's */
  H2_FIELDS_MAX = WORKLOAD_FIELDS_MAX + 6,
};

static struct exchange *h2_exchange(nghttp2_session *session, int32_t stream) {
  return nghttp2_session_get_stream_user_data(session, stream);
}

/* ---- callbacks ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user) {
  long long status;
  if (name_len != 7 || memcmp(name, ":status", 7) != 0)
    return 0;
  struct exchange *x = h2_exchange(session, frame->hd.stream_id);
  if (x && slice_decimal(slice_of((const char *)value, value_len), &status) && status >= 200)
    exchange_head(x, (int)status);
  return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *user) {
  struct exchange *x = h2_exchange(session, stream);
  if (x)
    exchange_take(x, slice_of((const char *)data, len));
  return 0;
}

static int on_received(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  struct conn *c = user;
  if (frame->hd.type == NGHTTP2_GOAWAY) {
    c->h2.going = c->retired = true;
    return 0;
  }
  if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
    return 0;
  struct exchange *x = h2_exchange(session, frame->hd.stream_id);
  if (!x || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
    return 0;
  nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, NULL);
  exchange_complete(x);
  return 0;
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
      (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
    return 0;
  struct exchange *x = h2_exchange(session, frame->hd.stream_id);
  if (x && !x->sent)
    exchange_sent(x);
  return 0;
}

static int on_closed(nghttp2_session *session, int32_t stream, uint32_t code, void *user) {
  struct conn *c = user;
  struct exchange *x = h2_exchange(session, stream);
  if (!x)
    return 0;
  bool refused = code == NGHTTP2_REFUSED_STREAM && c->h2.going;
  exchange_cut(x, refused                          ? ERROR_GOAWAY
                  : code == NGHTTP2_PROTOCOL_ERROR ? ERROR_PROTOCOL
                                                   : ERROR_RESET);
  return 0;
}

/* ---- the session ---- */

static nghttp2_session_callbacks *callbacks_make(void) {
  static nghttp2_session_callbacks *made;
  if (made || nghttp2_session_callbacks_new(&made))
    return made;
  nghttp2_session_callbacks_set_on_header_callback(made, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_received);
  nghttp2_session_callbacks_set_on_frame_send_callback(made, on_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(made, on_closed);
  return made;
}

static bool h2_open(struct conn *c) {
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW_BYTES},
  };
  memset(&c->h2, 0, sizeof c->h2);
  nghttp2_session_callbacks *callbacks = callbacks_make();
  return callbacks && nghttp2_session_client_new(&c->h2.session, callbacks, c) == 0 &&
         nghttp2_submit_settings(c->h2.session, 0, settings, 2) == 0 &&
         nghttp2_session_set_local_window_size(c->h2.session, 0, 0, H2_CONNECTION_WINDOW_BYTES) ==
             0;
}

static void h2_close(struct conn *c) {
  nghttp2_session_del(c->h2.session);
  c->h2.session = NULL;
}

static bool h2_has_room(const struct conn *c) {
  return nghttp2_session_check_request_allowed(c->h2.session);
}

/* ---- out ---- */

static ssize_t body_read(nghttp2_session *session, int32_t stream, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user) {
  struct exchange *x = source->ptr;
  if (x->stream != stream || h2_exchange(session, stream) != x)
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* answered or given up before all was sent */
  size_t n = workload_body_copy(&x->body, (char *)to, room);
  if (x->body.done == x->body.length)
    *flags |= NGHTTP2_DATA_FLAG_EOF;
  return (ssize_t)n;
}

static void field_put(nghttp2_nv *nv, size_t *count, struct slice name, struct slice value) {
  nv[(*count)++] = (nghttp2_nv){(uint8_t *)name.data, (uint8_t *)value.data, name.len, value.len,
                                NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static size_t fields_put(const struct exchange *x, nghttp2_nv *nv) {
  const struct workload *w = &x->load->workload;
  size_t count = 0;
  field_put(nv, &count, SLICE(":method"), x->row->method);
  field_put(nv, &count, SLICE(":scheme"), w->scheme);
  field_put(nv, &count, SLICE(":authority"), w->authority);
  field_put(nv, &count, SLICE(":path"), x->row->path);
  for (int i = 0; i < x->row->field_count; i++)
    field_put(nv, &count, x->row->fields[i].name, x->row->fields[i].value);
  if (x->authorization.len)
    field_put(nv, &count, SLICE("authorization"), x->authorization);
  if (workload_has_body(x->row))
    field_put(nv, &count, SLICE("content-length"), slice_str(x->body.length_text));
  return count;
}

static void h2_begin(struct conn *c, struct exchange *x) {
  nghttp2_nv nv[H2_FIELDS_MAX];
  nghttp2_data_provider body = {.source.ptr = x, .read_callback = body_read};
  bool has_body = x->body.length > 0;
  x->stream = nghttp2_submit_request(c->h2.session, NULL, nv, fields_put(x, nv),
                                     has_body ? &body : NULL, x);
  if (x->stream < 0)
    exchange_fail(x, ERROR_PROTOCOL);
}

/* What is left of a frame stays valid until nghttp2 is asked for the next. */
static size_t h2_pull(struct conn *c, char *to, size_t room) {
  size_t done = 0;
  while (done < room) {
    if (c->h2.left.len == 0) {
      const uint8_t *data;
      ssize_t n = nghttp2_session_mem_send(c->h2.session, &data);
      if (n < 0)
        conn_fail(c);
      if (n <= 0)
        break;
      c->h2.left = slice_of((const char *)data, (size_t)n);
    }
    size_t n = c->h2.left.len < room - done ? c->h2.left.len : room - done;
    memcpy(to + done, c->h2.left.data, n);
    c->h2.left = slice_skip(c->h2.left, n);
    done += n;
  }
  return done;
}

/* ---- in ---- */

static void h2_take(struct conn *c, struct slice in) {
  ssize_t n = nghttp2_session_mem_recv(c->h2.session, (const uint8_t *)in.data, in.len);
  if (n < 0) {
    c->h2.going = false;
    conn_fail(c);
  } else if (!nghttp2_session_want_read(c->h2.session) &&
             !nghttp2_session_want_write(c->h2.session)) {
    conn_fail(c);
  }
}

/* The stream may still be known: nothing of it is ours any more. */
static void h2_give_up(struct conn *c, struct exchange *x) {
  nghttp2_session_set_stream_user_data(c->h2.session, x->stream, NULL);
  nghttp2_submit_rst_stream(c->h2.session, NGHTTP2_FLAG_NONE, x->stream, NGHTTP2_CANCEL);
}

static void h2_lost(struct conn *c, struct exchange *x, bool orderly) {
  exchange_cut(x, c->h2.going ? ERROR_GOAWAY : ERROR_RESET);
}

const struct protocol h2 = {
    .open = h2_open,
    .has_room = h2_has_room,
    .begin = h2_begin,
    .take = h2_take,
    .pull = h2_pull,
    .give_up = h2_give_up,
    .lost = h2_lost,
    .close = h2_close,
};

/* HTTP/2 from and to a client (RFC 9113), over nghttp2.
 *
 * nghttp2 keeps frames, header compression and flow control; here stands what it
 * cannot know: requests, pipes and credit. What is received is given back to the
 * connection's window at once and to the stream's only when it has left the pipe,
 * so that a held upload never freezes a connection. Output is pulled at the end of
 * a turn, so that many streams share one write. */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/pool.h"
#include "lib/base/wipe.h"
#include "proxy/client/client.h"
#include "proxy/client/http2.h"
#include "proxy/config/config.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

enum {
  PING_ANSWER_S = 10,
  CUT_LINGER_S = 1,   /* for GOAWAY to be read */
  HEADS_AT_ONCE = 16, /* then others have their turn */
  REST_BYTES_MAX = 2 * LOOP_READ_BYTES,
  FIELD_OVERHEAD_BYTES = 32, /* how SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113, 6.5.2) */
  HEAD_LIMITS_MAX = 4,       /* so many times head_limit_bytes are no head any more */
};

void http2_session_touch(struct http2_session *s) {
  if (!s->client->closed)
    loop_flush_later(s->client->worker->loop, &s->flush_post);
}

static usec_t sooner(usec_t a, usec_t b) {
  return a < b ? a : b;
}

/* The connection has one deadline, for whatever comes first. */
static void deadline_arrange(struct http2_session *s) {
  struct client *c = s->client;
  if (!c->closed && !c->transport.finishing)
    deadline_set(c->worker->loop, &c->deadline,
                 sooner(s->go_at, sooner(sooner(s->quiet_at, s->head_at),
                                         sooner(s->write_at, s->streams_at))));
}

static usec_t in_seconds(const struct http2_session *s, int64_t seconds) {
  return loop_now(s->client->worker->loop) + seconds * USEC_PER_S;
}

void http2_session_look(struct http2_session *s, usec_t at) {
  if (at >= s->streams_at)
    return;
  s->streams_at = at;
  deadline_arrange(s);
}

/* Whether the client takes anything is known when the deadline comes. */
static void watch_output(struct http2_session *s) {
  struct client *c = s->client;
  if (s->write_at != USEC_NEVER || !transport_pending(&c->transport))
    return;
  c->stall_mark = c->transport.bytes_out;
  s->write_at = in_seconds(s, c->worker->config->write_stall_s);
  deadline_arrange(s);
}

/* Who was cut off is not listened to for long. */
static void finish(struct http2_session *s) {
  struct client *c = s->client;
  client_finish(c);
  if (s->cut)
    deadline_set(c->worker->loop, &c->deadline, in_seconds(s, CUT_LINGER_S));
}

/* GOAWAY says why, if the client listens. */
static void carry_out(struct http2_session *s) {
  s->cut = true;
  cell_add(&s->client->worker->cell->limits[s->verdict.limit], 1);
  nghttp2_session_terminate_session(s->session, s->verdict.code);
}

/* False when the connection is closed. */
static bool put_output(struct http2_session *s) {
  struct client *c = s->client;
  while (!c->closed && !transport_full(&c->transport)) {
    const uint8_t *bytes;
    s->in_session = true;
    ssize_t n = nghttp2_session_mem_send(s->session, &bytes);
    s->in_session = false;
    if (n == 0)
      break;
    struct iovec iov = {(void *)bytes, n > 0 ? (size_t)n : 0};
    if (n < 0 || transport_send(&c->transport, &iov, 1) != OK) {
      client_close(c, true);
      return false;
    }
  }
  return !c->closed;
}

/* Everything nghttp2 has to say, as long as the transport wants it. */
void http2_session_flush(struct http2_session *s) {
  if (s->client->transport.finishing)
    return;
  bool open = put_output(s);
  if (open && s->verdict.limit != LIMIT_NONE && !s->cut) {
    carry_out(s);
    open = put_output(s);
  }
  if (!open)
    return;
  watch_output(s);
  if (s->cut || (!nghttp2_session_want_read(s->session) && !nghttp2_session_want_write(s->session)))
    finish(s);
}

static void session_release(struct post *p) {
  struct http2_session *s = container_of(p, struct http2_session, free_post);
  s->memory.secret = true; /* nghttp2 remembers fields of heads (RFC 7541, 2.3.2) */
  nghttp2_session_del(s->session);
  stash_free(&s->rest);
  free(s);
}

static void flush_run(struct post *p) {
  http2_session_flush(container_of(p, struct http2_session, flush_post));
}

/* Idle without streams, a ping after silence with them. */
static void deadline_renew(struct http2_session *s) {
  struct client *c = s->client;
  const struct config *config = c->worker->config;
  int64_t seconds = s->stream_count ? config->ping_after_s : config->idle_timeout_s;
  s->quiet_at = in_seconds(s, seconds);
  deadline_arrange(s);
}

void http2_stream_free(struct http2_stream *st) {
  struct http2_session *s = st->session;
  list_remove(&st->node);
  list_remove(&st->begin_node);
  s->stream_count--;
  free(st->answer);
  pool_put(s->client->worker->streams, st);
  if (s->stream_count == 0 && !s->client->closed)
    deadline_renew(s);
}

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
    deadline_renew(s);
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

/* What waits of all uploads: a held one must not stop the others, so a new one gives way. */
static void watch_buffer(struct http2_session *s, struct http2_stream *st) {
  struct request *r = st->request;
  if (!r || chunkq_empty(&r->request_pipe.queue))
    return;
  size_t waits = 0;
  list_each (node, &s->streams) {
    const struct request *other = container_of(node, struct http2_stream, node)->request;
    waits += other ? other->request_pipe.queue.len : 0;
  }
  if (waits <= (size_t)s->client->worker->config->http2_buffer_bytes)
    return;
  cell_add(&s->client->worker->cell->limits[LIMIT_HTTP2_BUFFER], 1);
  request_fail(r,
               (struct failure){.status = 503,
                                .type = "server_error",
                                .code = "overloaded",
                                .message = "Too much waits on this connection; open another one.",
                                .retry_after_s = 1});
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
    watch_buffer(s, st);
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

static int session_open(struct http2_session *s) {
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

/* What has arrived is served, and nothing that comes after it. */
static void part(struct http2_session *s) {
  s->go_at = USEC_NEVER;
  nghttp2_submit_goaway(s->session, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(s->session), NGHTTP2_NO_ERROR, NULL,
                        0);
  http2_session_touch(s);
}

/* First a GOAWAY that lets in what is on its way (RFC 9113, 6.8). */
static void http2_stop(struct client *c) {
  struct http2_session *s = c->http2;
  if (s->told_to_go)
    return;
  s->told_to_go = true;
  nghttp2_submit_shutdown_notice(s->session);
  s->go_at = in_seconds(s, c->worker->config->drain_idle_s);
  deadline_arrange(s);
  http2_session_touch(s);
}

static void http2_halt(struct client *c) {
  struct http2_session *s = c->http2;
  list_each (node, &s->streams) {
    struct http2_stream *st = container_of(node, struct http2_stream, node);
    if (st->request)
      request_shut_down(st->request);
  }
  part(s);
  if (s->stream_count == 0) {
    http2_session_flush(s);
    client_close(c, false);
  }
}

/* A head that has begun is due, however slowly it comes; so is the first frame. */
static void watch_head(struct http2_session *s) {
  if (!s->guard.in_head && (s->heard || s->guard.heads)) {
    s->head_at = USEC_NEVER;
  } else if (s->guard.in_head && s->head_timed != s->guard.heads) {
    s->head_timed = s->guard.heads;
    s->head_at = in_seconds(s, s->client->worker->config->head_timeout_s);
    deadline_arrange(s);
  }
}

static struct http2_verdict fault_of(ssize_t n) {
  if (n == NGHTTP2_ERR_FLOODED)
    return (struct http2_verdict){LIMIT_HTTP2_CONTROL, NGHTTP2_ENHANCE_YOUR_CALM};
  return (struct http2_verdict){LIMIT_HTTP2_FRAMES, n == NGHTTP2_ERR_BAD_CLIENT_MAGIC
                                                        ? NGHTTP2_PROTOCOL_ERROR
                                                        : NGHTTP2_INTERNAL_ERROR};
}

/* What is left of *bytes has to wait for its turn: a client that begins many requests at once shall
 * not hold up the others for all of them. */
static bool feed(struct http2_session *s, struct slice *bytes) {
  struct slice now = *bytes;
  s->verdict = http2_guard_feed(&s->guard, bytes, HEADS_AT_ONCE, loop_now(s->client->worker->loop));
  now.len -= bytes->len;
  if (s->verdict.limit != LIMIT_NONE)
    return false;
  s->in_session = true;
  ssize_t n = nghttp2_session_mem_recv(s->session, (const uint8_t *)now.data, now.len);
  s->in_session = false;
  if (n < 0 && s->verdict.limit == LIMIT_NONE)
    s->verdict = fault_of(n);
  return n >= 0;
}

/* False when the connection cannot go on. Where a token was, or may have been, nothing of what was
 * read stays. */
static bool take_in(struct http2_session *s, struct slice *bytes) {
  struct slice all = *bytes;
  bool good = feed(s, bytes);
  if (s->token_came || s->guard.in_head || !good)
    wipe_slice(slice_of(all.data, all.len - bytes->len));
  s->token_came = false;
  if (!s->guard.in_head)
    s->memory.secret = s->token_kept;
  return good;
}

static void put_aside(struct http2_session *s, struct slice rest) {
  struct client *c = s->client;
  if (rest.len == 0 || c->closed || s->cut)
    return;
  if (stash_append(&s->rest, rest) != OK) {
    client_close(c, true);
    return;
  }
  transport_pause(&c->transport);
  loop_post(c->worker->loop, &s->rest_post);
}

/* After all that has come was read: what was taken back at once costs the replicas nothing. */
static void begin_requests(struct http2_session *s) {
  while (!list_empty(&s->beginners))
    http2_stream_begin(container_of(s->beginners.next, struct http2_stream, begin_node));
}

static void input(struct http2_session *s, struct slice bytes) {
  struct client *c = s->client;
  if (!take_in(s, &bytes)) {
    cell_add(&c->worker->cell->bad_requests, 1);
    http2_session_flush(s);
    return;
  }
  begin_requests(s);
  watch_head(s);
  if (s->heard) {
    s->heard = s->ping_sent = false;
    deadline_renew(s);
  }
  http2_session_touch(s);
  if (c->worker->stopping && !s->told_to_go && s->stream_count)
    http2_stop(c);
  put_aside(s, bytes);
}

static void http2_bytes(struct client *c, struct slice bytes) {
  struct http2_session *s = c->http2;
  if (s->cut)
    return;
  if (s->rest.len)
    put_aside(s, bytes);
  else
    input(s, bytes);
  if (s->rest.len) /* a copy, of heads above all */
    wipe_slice(bytes);
}

static void rest_run(struct post *p) {
  struct http2_session *s = container_of(p, struct http2_session, rest_post);
  struct slice rest = stash_take(&s->rest);
  transport_resume(&s->client->transport);
  if (!s->cut)
    input(s, rest);
  stash_drop(&s->rest, 0);
}

bool client_http2_start(struct client *c) {
  struct http2_session *s = calloc(1, sizeof *s);
  if (!s)
    return false;
  s->client = c;
  http2_guard_init(&s->guard, c->worker->config);
  s->head_at = c->deadline.at; /* preface and SETTINGS are due as a head is */
  s->quiet_at = s->write_at = s->streams_at = s->go_at = USEC_NEVER;
  http2_memory_init(&s->memory);
  list_init(&s->streams);
  list_init(&s->beginners);
  post_init(&s->flush_post, flush_run);
  post_init(&s->free_post, session_release);
  post_init(&s->rest_post, rest_run);
  s->rest = (struct stash)STASH_INIT(REST_BYTES_MAX);
  if (session_open(s) || session_settings(s)) {
    nghttp2_session_del(s->session);
    free(s);
    return false;
  }
  c->http2 = s;
  deadline_renew(s);
  http2_session_touch(s);
  return true;
}

static void http2_drained(struct client *c) {
  http2_session_touch(c->http2);
}

static void cut_off(struct http2_session *s, enum client_limit limit) {
  s->verdict = (struct http2_verdict){limit, NGHTTP2_ENHANCE_YOUR_CALM};
  http2_session_flush(s);
}

/* A client that takes nothing of what waits for it does not live, whatever it sends. */
static void look_at_output(struct http2_session *s) {
  struct client *c = s->client;
  s->write_at = USEC_NEVER;
  if (transport_pending(&c->transport) && c->transport.bytes_out == c->stall_mark) {
    cell_add(&c->worker->cell->limits[LIMIT_WRITE_STALL], 1);
    client_close(c, true);
  } else {
    watch_output(s);
  }
}

static void look_at_streams(struct http2_session *s, usec_t now) {
  usec_t next = USEC_NEVER;
  list_each (node, &s->streams)
    next = sooner(next, http2_stream_overdue(container_of(node, struct http2_stream, node), now));
  s->streams_at = next;
}

/* Idle connections are told to go, busy ones are asked whether they still live. */
static void look_at_silence(struct http2_session *s) {
  struct client *c = s->client;
  if (s->ping_sent) {
    client_close(c, true);
    return;
  }
  s->ping_sent = true;
  s->quiet_at = in_seconds(s, PING_ANSWER_S);
  if (s->stream_count == 0)
    nghttp2_session_terminate_session(s->session, NGHTTP2_NO_ERROR);
  else
    nghttp2_submit_ping(s->session, NGHTTP2_FLAG_NONE, NULL);
  http2_session_touch(s);
}

static void http2_expired(struct client *c) {
  struct http2_session *s = c->http2;
  usec_t now = loop_now(c->worker->loop);
  if (c->transport.finishing) {
    s->cut ? client_close(c, true) : client_finish_expired(c);
    return;
  }
  if (now >= s->head_at) {
    cut_off(s, LIMIT_HEAD_TIMEOUT);
    return;
  }
  if (now >= s->go_at)
    part(s);
  if (now >= s->write_at)
    look_at_output(s);
  if (!c->closed && now >= s->streams_at)
    look_at_streams(s, now);
  if (!c->closed && now >= s->quiet_at)
    look_at_silence(s);
  deadline_arrange(s);
}

static bool http2_ended(struct client *c) {
  return false;
}

static void http2_close(struct client *c) {
  struct http2_session *s = c->http2;
  list_each (node, &s->streams) {
    struct http2_stream *st = container_of(node, struct http2_stream, node);
    http2_stream_leave(st);
    http2_stream_free(st);
  }
  post_cancel(&s->flush_post);
  post_cancel(&s->rest_post);
  loop_post(c->worker->loop, &s->free_post);
}

const struct client_protocol client_http2 = {
    .bytes = http2_bytes,
    .drained = http2_drained,
    .expired = http2_expired,
    .ended = http2_ended,
    .stop = http2_stop,
    .halt = http2_halt,
    .close = http2_close,
};

/* One HTTP/2 stream: a request from it, and the answer to it (RFC 9113, 8). */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/pool.h"
#include "proxy/client/client.h"
#include "proxy/client/http2.h"
#include "proxy/config/config.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

enum {
  FIELDS_AT_FIRST = 16,
  DISCARD_LIMIT_BYTES = 256 * 1024, /* of a body nobody wants */
};

static const struct client_ops stream_ops;

static void body_credit(struct pipe *p, size_t n) {
  struct http2_stream *st = p->source_self;
  if (st->closed)
    return;
  nghttp2_session_consume_stream(st->session->session, st->id, n);
  http2_session_touch(st->session);
}

static const struct pipe_source_ops body_source = {.credit = body_credit};

struct http2_stream *http2_stream_new(struct http2_session *s, int32_t id) {
  struct client *c = s->client;
  struct http2_stream *st = pool_get(c->worker->streams);
  if (!st)
    return NULL;
  memset(st, 0, sizeof *st);
  st->session = s;
  st->id = id;
  st->body_at = st->write_at = USEC_NEVER;
  list_init(&st->node);
  list_init(&st->begin_node);
  struct request *r = st->request = client_request(c, &stream_ops, st);
  struct http_field *fields =
      r ? arena_alloc(&r->arena, FIELDS_AT_FIRST * sizeof(struct http_field)) : NULL;
  if (!fields) {
    if (r)
      request_discard(r);
    pool_put(c->worker->streams, st);
    return NULL;
  }
  http_head_init(&r->head, fields, FIELDS_AT_FIRST);
  r->http2 = true;
  r->request_pipe.source = &body_source;
  r->request_pipe.source_self = st;
  return st;
}

/* Twice the room, within head_fields_max. */
static bool fields_grow(struct http2_stream *st) {
  struct http_head *h = &st->request->head;
  int most = (int)st->session->client->worker->config->head_fields_max;
  int room = h->field_max * 2 < most ? h->field_max * 2 : most;
  if (room <= h->field_count)
    return false;
  struct http_field *grown = arena_alloc(&st->request->arena, (size_t)room * sizeof *grown);
  if (!grown)
    return false;
  memcpy(grown, h->fields, h->field_count * sizeof *grown);
  h->fields = grown;
  h->field_max = (uint16_t)room;
  return true;
}

static void pseudo_field(struct http2_stream *st, struct slice name, struct slice value) {
  struct http_head *h = &st->request->head;
  if (slice_equal(name, SLICE(":method"))) {
    h->method_text = value;
    h->method = http_method_find(value);
  } else if (slice_equal(name, SLICE(":path"))) {
    h->target = value;
  } else if (slice_equal(name, SLICE(":authority"))) {
    h->authority = value;
  }
}

void http2_stream_field(struct http2_stream *st, struct slice name, struct slice value) {
  const struct config *config = st->session->client->worker->config;
  if (st->session->block_bytes > (size_t)config->head_limit_bytes)
    st->too_large = true;
  if (st->too_large)
    return;
  struct arena *arena = &st->request->arena;
  struct http_head *head = &st->request->head;
  bool pseudo = name.len && name.data[0] == ':';
  enum http_name id = http_name_find(name);
  struct slice n = id == HTTP_OTHER && !pseudo ? arena_copy(arena, name) : http_name_text(id);
  struct slice v = arena_copy(arena, value);
  if (!n.data || !v.data)
    st->too_large = true;
  else if (pseudo)
    pseudo_field(st, name, v);
  else if (head->field_count == head->field_max && !fields_grow(st))
    st->too_large = true;
  else if (http_head_add_as(head, id, n, v) != OK)
    st->too_large = true;
}

/* What nghttp2 has not checked already. */
static bool head_complete(struct http_head *h, bool ended) {
  struct slice host = http_head_value(h, HTTP_HOST);
  if (h->authority.len == 0)
    h->authority = host;
  else if (host.len && !slice_equal_nocase(host, h->authority))
    return false;
  if (!http_is_authority(h->authority) || !http_is_target(h->target) || h->method == HTTP_CONNECT)
    return false;
  struct slice length = http_head_value(h, HTTP_CONTENT_LENGTH);
  long long n = -1;
  if (length.len && !slice_decimal(length, &n))
    return false;
  h->content_length = n;
  h->minor_version = 1;
  h->keep_alive = true;
  h->expect_continue = slice_equal_nocase(http_head_value(h, HTTP_EXPECT), SLICE("100-continue"));
  h->framing = ended ? HTTP_NO_BODY : n >= 0 ? HTTP_LENGTH : HTTP_CHUNKED;
  return true;
}

static struct loop *loop_of(const struct http2_stream *st) {
  return st->session->client->worker->loop;
}

static usec_t in_seconds(const struct http2_stream *st, int64_t seconds) {
  return loop_now(loop_of(st)) + seconds * USEC_PER_S;
}

void http2_stream_heard(struct http2_stream *st) {
  st->body_at = in_seconds(st, st->session->client->worker->config->body_idle_timeout_s);
  http2_session_look(st->session, st->body_at);
}

/* How much waits for the client has changed. */
static void watch_output(struct http2_stream *st, bool waits, bool taken) {
  if (!waits) {
    st->write_at = USEC_NEVER;
  } else if (taken || st->write_at == USEC_NEVER) {
    st->write_at = in_seconds(st, st->session->client->worker->config->write_stall_s);
    http2_session_look(st->session, st->write_at);
  }
}

static void refuse_large(struct http2_stream *st) {
  cell_add(&st->session->client->worker->cell->limits[LIMIT_HEAD_SIZE], 1);
  request_refuse(st->request, FAIL_HEAD_SIZE);
}

void http2_stream_head(struct http2_stream *st, bool ended) {
  struct request *r = st->request;
  cell_add(&st->session->client->worker->cell->requests_http2, 1);
  st->remote_ended = ended;
  if (!ended)
    http2_stream_heard(st);
  bool good = head_complete(&r->head, ended);
  if (good && !st->too_large && !st->session->halted) {
    list_push_back(&st->session->beginners, &st->begin_node);
    return;
  }
  st->began = true;
  if (st->too_large)
    refuse_large(st);
  else
    request_refuse(r, good ? FAIL_SHUTDOWN : FAIL_NOT_HTTP2);
}

void http2_stream_begin(struct http2_stream *st) {
  if (list_empty(&st->begin_node))
    return;
  list_remove(&st->begin_node);
  st->began = true;
  if (st->remote_ended)
    request_body_end(st->request);
  request_begin(st->request);
}

/* Of the answer. */
static nghttp2_nv pair(struct slice name, struct slice value) {
  return (nghttp2_nv){(uint8_t *)name.data, (uint8_t *)value.data, name.len, value.len,
                      NGHTTP2_NV_FLAG_NONE};
}

/* An id comes once: in the compression's table it would only push out what comes again. */
static nghttp2_nv field_pair(const struct http_field *f) {
  nghttp2_nv nv = pair(f->name, f->value);
  if (f->id == HTTP_X_REQUEST_ID)
    nv.flags |= NGHTTP2_NV_FLAG_NO_INDEX;
  return nv;
}

struct pairs {
  nghttp2_nv nv[WORKER_FIELDS_MAX + 8];
  size_t count;
  char status[SLICE_NUMBER_BYTES], length[SLICE_NUMBER_BYTES];
};

static void pairs_of(struct pairs *p, const struct http_head *h) {
  p->count = 0;
  p->nv[p->count++] = pair(SLICE(":status"), slice_number(p->status, (uint64_t)h->status));
  for (int i = 0; i < h->field_count; i++)
    if (h->fields[i].id != HTTP_CONTENT_LENGTH && !http_field_is_hop_by_hop(h, &h->fields[i]))
      p->nv[p->count++] = field_pair(&h->fields[i]);
  if (h->content_length >= 0 && h->status >= 200 && h->status != 204)
    p->nv[p->count++] =
        pair(SLICE("content-length"), slice_number(p->length, (uint64_t)h->content_length));
}

static void reset(struct http2_stream *st, uint32_t code) {
  if (st->closed)
    return;
  nghttp2_submit_rst_stream(st->session->session, NGHTTP2_FLAG_NONE, st->id, code);
  http2_session_touch(st->session);
}

static void submit_trailers(struct http2_stream *st, const struct pipe *p) {
  nghttp2_nv nv[REQUEST_TRAILERS_MAX];
  size_t count = 0;
  for (int i = 0; i < p->trailer_count; i++)
    nv[count++] = pair(p->trailers[i].name, p->trailers[i].value);
  nghttp2_submit_trailer(st->session->session, st->id, nv, count);
}

static ssize_t pull_pipe(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user) {
  struct http2_stream *st = source->ptr;
  if (!st->request) /* aborted: the reset is on its way */
    return NGHTTP2_ERR_DEFERRED;
  struct pipe *p = &st->request->response_pipe;
  size_t n = pipe_take(p, (char *)to, room);
  watch_output(st, !chunkq_empty(&p->queue), n > 0);
  if (pipe_drained(p)) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (p->trailer_count) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      submit_trailers(st, p);
    }
  } else if (n == 0) {
    return NGHTTP2_ERR_DEFERRED;
  }
  return (ssize_t)n;
}

static ssize_t pull_answer(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                           uint32_t *flags, nghttp2_data_source *source, void *user) {
  struct http2_stream *st = source->ptr;
  size_t left = st->answer_len - st->answer_sent, n = left < room ? left : room;
  memcpy(to, st->answer + st->answer_sent, n);
  st->answer_sent += n;
  watch_output(st, st->answer_sent != st->answer_len, n > 0);
  if (st->answer_sent == st->answer_len)
    *flags |= NGHTTP2_DATA_FLAG_EOF;
  return (ssize_t)n;
}

/* Nothing is taken here: the session pulls when it has a window, at the end of the turn. */
static size_t body_write(struct pipe *p, struct slice bytes) {
  struct http2_stream *st = p->sink_self;
  nghttp2_session_resume_data(st->session->session, st->id);
  http2_session_touch(st->session);
  if (bytes.len)
    watch_output(st, true, false);
  return 0;
}

static void body_end(struct pipe *p) {
  body_write(p, SLICE_NONE);
}

static const struct pipe_sink_ops body_sink = {.write = body_write, .end = body_end};

static void submit(struct http2_stream *st, const struct pairs *pairs,
                   const nghttp2_data_provider *body) {
  if (nghttp2_submit_response(st->session->session, st->id, pairs->nv, pairs->count, body))
    reset(st, NGHTTP2_INTERNAL_ERROR);
  http2_session_touch(st->session);
}

static void answer_interim(struct request *r, const struct http_head *h) {
  struct http2_stream *st = r->client;
  struct pairs pairs;
  pairs_of(&pairs, h);
  nghttp2_submit_headers(st->session->session, NGHTTP2_FLAG_NONE, st->id, NULL, pairs.nv,
                         pairs.count, NULL);
  http2_session_touch(st->session);
}

static void answer_head(struct request *r, const struct http_head *h) {
  struct http2_stream *st = r->client;
  struct pairs pairs;
  pairs_of(&pairs, h);
  bool has_body = r->head.method != HTTP_HEAD && h->framing != HTTP_NO_BODY;
  nghttp2_data_provider body = {.source = {.ptr = st}, .read_callback = pull_pipe};
  submit(st, &pairs, has_body ? &body : NULL);
  pipe_connect(&r->response_pipe, &body_sink, st);
}

static void answer_own(struct request *r, const struct http_head *h, struct slice text) {
  struct http2_stream *st = r->client;
  struct pairs pairs;
  pairs_of(&pairs, h);
  bool has_body = r->head.method != HTTP_HEAD && text.len;
  st->answer = has_body ? malloc(text.len) : NULL;
  if (has_body && !st->answer) {
    reset(st, NGHTTP2_INTERNAL_ERROR);
    return;
  }
  if (has_body) {
    memcpy(st->answer, text.data, text.len);
    st->answer_len = text.len;
  }
  nghttp2_data_provider body = {.source = {.ptr = st}, .read_callback = pull_answer};
  submit(st, &pairs, has_body ? &body : NULL);
  watch_output(st, has_body, true);
}

/* What has arrived still goes out, then the reset. */
static void answer_abort(struct request *r) {
  struct http2_stream *st = r->client;
  struct http2_session *s = st->session;
  if (!s->in_session && !st->closed)
    http2_session_flush(s);
  if (!s->client->closed && !r->finished)
    reset(st, NGHTTP2_INTERNAL_ERROR);
}

static void answer_finished(struct request *r) {
  struct http2_stream *st = r->client;
  st->request = NULL;
}

void http2_stream_leave(struct http2_stream *st) {
  st->closed = true;
  struct request *r = st->request;
  st->request = NULL;
  if (r && st->began)
    request_leave(r);
  else if (r)
    request_discard(r);
}

void http2_stream_answered(struct http2_stream *st) {
  st->answered = true;
  if (st->request)
    request_response_complete(st->request);
}

/* A client that goes on for long is told that nobody listens (RFC 9113, 8.1); not
 * sooner, since some take that for a failure. */
void http2_stream_discard(struct http2_stream *st, size_t n) {
  st->discarded += n;
  if (st->discarded > DISCARD_LIMIT_BYTES && st->answered)
    reset(st, NGHTTP2_NO_ERROR);
}

/* Whether it is us whom the body waits for: what came of it has not left, or it was not invited. */
static bool body_is_held(const struct request *r) {
  const struct pipe *p = &r->request_pipe;
  return r->response_started || p->queue.len > p->lent || (r->head.expect_continue && !r->invited);
}

static void body_overdue(struct http2_stream *st) {
  struct request *r = st->request;
  http2_stream_heard(st);
  if (r && body_is_held(r))
    return;
  cell_add(&st->session->client->worker->cell->limits[LIMIT_BODY_IDLE], 1);
  if (!r) {
    reset(st, NGHTTP2_NO_ERROR);
    return;
  }
  request_fail(r, FAIL_BODY_LATE);
  request_end(r, END_TIMEOUT);
}

static void output_overdue(struct http2_stream *st) {
  st->write_at = USEC_NEVER;
  cell_add(&st->session->client->worker->cell->limits[LIMIT_WRITE_STALL], 1);
  reset(st, NGHTTP2_ENHANCE_YOUR_CALM);
  if (st->request)
    request_leave(st->request);
}

usec_t http2_stream_overdue(struct http2_stream *st, usec_t now) {
  if (st->remote_ended)
    st->body_at = USEC_NEVER;
  if (now >= st->body_at)
    body_overdue(st);
  if (now >= st->write_at)
    output_overdue(st);
  return st->body_at < st->write_at ? st->body_at : st->write_at;
}

static const struct client_ops stream_ops = {
    .interim = answer_interim,
    .head = answer_head,
    .answer = answer_own,
    .abort = answer_abort,
    .finished = answer_finished,
};

/* One HTTP/2 stream to a replica: a request, and the answer to it (RFC 9113, 8). */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/pool.h"
#include "proxy/replica/forward.h"
#include "proxy/replica/http2.h"
#include "proxy/replica/loss.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

enum {
  FIELDS_AT_FIRST = 24,
  FIELDS_SPARE = 16,         /* the response steps may add so many */
  FIELD_OVERHEAD_BYTES = 32, /* how SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113, 6.5.2) */
};

static struct loop *loop_of(const struct replica_stream *st) {
  return st->connection->link.worker->loop;
}

/* The request goes its own way. */
static struct request *let_go(struct replica_stream *st) {
  struct request *r = st->request;
  st->request = NULL;
  deadline_clear(&st->deadline);
  if (r) {
    r->lease = NULL;
    pipe_disconnect(&r->request_pipe);
  }
  return r;
}

static void reset(struct replica_stream *st, uint32_t code) {
  struct replica_http2 *c = st->connection;
  nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, st->id, code);
  replica_http2_touch(c);
}

/* A request that came to a connection at rest is tried again, unless the replica has
 * been heard since: then it was not closing at that moment. */
static void lost_before_head(struct replica_stream *st, enum failure_kind why, bool refused) {
  bool heard = st->connection->link.transport.bytes_in != st->heard_mark;
  struct request *r = let_go(st);
  if (!r)
    return;
  r->lease_reused = r->lease_reused && !heard;
  loss_before_head(r, why, refused);
}

static void broke_in_body(struct replica_stream *st) {
  struct request *r = let_go(st);
  if (r)
    loss_in_body(r);
}

static void head_overdue(struct timer *t) {
  struct replica_stream *st = container_of(t, struct replica_stream, deadline.timer);
  struct replica_http2 *c = st->connection;
  if (!deadline_passed(loop_of(st), &st->deadline))
    return;
  if (c->link.transport.bytes_in == st->heard_mark)
    c->doubtful = true;
  replica_http2_place(c);
  reset(st, NGHTTP2_CANCEL);
  loss_of_patience(let_go(st));
}

struct replica_stream *replica_stream_new(struct replica_http2 *c, struct request *r) {
  struct replica_stream *st = pool_get(c->link.worker->replica_streams);
  if (!st)
    return NULL;
  memset(st, 0, sizeof *st);
  st->connection = c;
  st->request = r;
  http_head_init(&st->head, NULL, 0);
  deadline_init(&st->deadline, head_overdue);
  list_push_back(&c->streams, &st->node);
  c->stream_count++;
  replica_http2_place(c);
  return st;
}

void replica_stream_free(struct replica_stream *st) {
  struct replica_http2 *c = st->connection;
  let_go(st);
  deadline_close(loop_of(st), &st->deadline);
  list_remove(&st->node);
  pool_put(c->link.worker->replica_streams, st);
  c->stream_count--;
  replica_http2_place(c);
  replica_http2_touch(c);
}

void replica_stream_ready(struct replica_stream *st, bool room) {
  struct request *r = st->request;
  if (room)
    r->connected = true;
  else
    replica_stream_free(st);
  request_wake(r);
}

/* The request. */
struct request_head {
  struct forward forward;
  nghttp2_nv nv[WORKER_FIELDS_MAX + 16];
  size_t count;
  char length[24];
};

static nghttp2_nv pair(struct slice name, struct slice value) {
  return (nghttp2_nv){(uint8_t *)name.data, (uint8_t *)value.data, name.len, value.len,
                      NGHTTP2_NV_FLAG_NONE};
}

static void put_field(struct forward *f, struct slice name, struct slice value) {
  struct request_head *h = container_of(f, struct request_head, forward);
  if (h->count < sizeof h->nv / sizeof *h->nv)
    h->nv[h->count++] = pair(name, value);
}

/* False when memory ran out. */
static bool put_head(struct request_head *h, struct request *r) {
  struct slice target = forward_target(r);
  h->forward.put = put_field;
  h->count = 0;
  put_field(&h->forward, SLICE(":method"), r->head.method_text);
  put_field(&h->forward, SLICE(":scheme"), SLICE("http"));
  put_field(&h->forward, SLICE(":authority"), forward_authority(r));
  put_field(&h->forward, SLICE(":path"), target);
  bool good = target.data && forward_fields(&h->forward, r);
  if (r->head.content_length >= 0) {
    int n = snprintf(h->length, sizeof h->length, "%lld", (long long)r->head.content_length);
    put_field(&h->forward, SLICE("content-length"), slice_of(h->length, (size_t)n));
  }
  return good;
}

static void submit_trailers(struct replica_stream *st, const struct pipe *p) {
  nghttp2_nv nv[REQUEST_TRAILERS_MAX];
  size_t count = 0;
  for (int i = 0; i < p->trailer_count; i++)
    if (forward_goes_on(st->request, &p->trailers[i]))
      nv[count++] = pair(p->trailers[i].name, p->trailers[i].value);
  nghttp2_submit_trailer(st->connection->session, st->id, nv, count);
}

static ssize_t pull_pipe(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user) {
  struct replica_stream *st = source->ptr;
  if (!st->request) /* the reset is on its way */
    return NGHTTP2_ERR_DEFERRED;
  struct pipe *p = &st->request->request_pipe;
  size_t n = pipe_take(p, (char *)to, room);
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

/* Nothing is taken here: the session pulls when it has a window, at the end of the turn. */
static size_t body_write(struct pipe *p, struct slice bytes) {
  struct replica_stream *st = p->sink_self;
  nghttp2_session_resume_data(st->connection->session, st->id);
  replica_http2_touch(st->connection);
  return 0;
}

static void body_end(struct pipe *p) {
  body_write(p, SLICE_NONE);
}

static const struct pipe_sink_ops body_sink = {.write = body_write, .end = body_end};

static void cancel(struct request *r) {
  struct replica_stream *st = r->lease;
  let_go(st);
  if (st->id == 0 || st->connection->link.closed)
    replica_stream_free(st);
  else
    reset(st, NGHTTP2_CANCEL);
}

static bool without_body(const struct pipe *p) {
  return pipe_drained(p) && p->total == 0 && p->trailer_count == 0;
}

static void start(struct request *r) {
  struct replica_stream *st = r->lease;
  struct replica_http2 *c = st->connection;
  st->heard_mark = c->link.transport.bytes_in;
  struct request_head h;
  nghttp2_data_provider body = {.source = {.ptr = st}, .read_callback = pull_pipe};
  int32_t id = NGHTTP2_ERR_NOMEM;
  if (put_head(&h, r))
    id = nghttp2_submit_request(c->session, NULL, h.nv, h.count,
                                without_body(&r->request_pipe) ? NULL : &body, st);
  if (id < 0) {
    cancel(r);
    request_replica_lost(r, FAIL_REPLICA_UNSENT, id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE);
    return;
  }
  st->id = id;
  deadline_set(loop_of(st), &st->deadline, forward_head_due(r));
  pipe_connect(&r->request_pipe, &body_sink, st);
  replica_http2_touch(c);
}

const struct replica_ops replica_http2 = {
    .lease = replica_http2_lease,
    .start = start,
    .cancel = cancel,
};

/* The answer. A stream that is over gets no credit any more: it needs none. */
static void answer_credit(struct pipe *p, size_t n) {
  struct request *r = p->source_self;
  struct replica_stream *st = r->lease;
  if (!st)
    return;
  nghttp2_session_consume_stream(st->connection->session, st->id, n);
  replica_http2_touch(st->connection);
}

static const struct pipe_source_ops answer_source = {.credit = answer_credit};

/* Room for `more` fields and those of the response steps, in the request's arena. */
static bool fields_reserve(struct replica_stream *st, int more) {
  struct http_head *h = &st->head;
  int need = h->field_count + more + FIELDS_SPARE;
  if (need > REPLICA_HTTP2_FIELDS_MAX)
    return false;
  if (need <= h->field_max)
    return true;
  int room = h->field_max ? h->field_max * 2 : FIELDS_AT_FIRST + FIELDS_SPARE;
  struct http_field *grown = arena_alloc(&st->request->arena, (size_t)room * sizeof *grown);
  if (!grown)
    return false;
  if (h->field_count)
    memcpy(grown, h->fields, h->field_count * sizeof *grown);
  h->fields = grown;
  h->field_max = (uint16_t)room;
  return true;
}

static bool field_add(struct replica_stream *st, struct slice name, struct slice value) {
  struct arena *arena = &st->request->arena;
  st->head_bytes += name.len + value.len + FIELD_OVERHEAD_BYTES;
  if (st->head_bytes > REPLICA_HTTP2_HEAD_BYTES_MAX || !fields_reserve(st, 1))
    return false;
  struct slice n = arena_copy(arena, name), v = arena_copy(arena, value);
  return n.data && v.data && http_head_add(&st->head, n, v) == OK;
}

/* nghttp2 has checked that it is three digits, and not 101. */
static void status_field(struct replica_stream *st, struct slice value) {
  long long status = 0;
  if (!slice_decimal(value, &status) || status < 100 || status > 999)
    st->malformed = true;
  st->head.status = (int)status;
}

void replica_stream_field(struct replica_stream *st, struct slice name, struct slice value) {
  if (!st->request || st->too_large)
    return;
  if (st->head_seen)
    request_trailer(st->request, &st->request->response_pipe, name, value);
  else if (slice_equal(name, SLICE(":status")))
    status_field(st, value);
  else if (!field_add(st, name, value))
    st->too_large = true;
}

static bool without_answer_body(const struct request *r, int status) {
  return r->head.method == HTTP_HEAD || status == 204 || status == 304;
}

/* What HTTP/1 says by framing. */
static void frame_head(struct replica_stream *st, bool ended) {
  struct http_head *h = &st->head;
  struct slice length = http_head_value(h, HTTP_CONTENT_LENGTH);
  long long n = -1;
  if (length.len && !slice_decimal(length, &n))
    st->malformed = true;
  bool no_body = h->status < 200 || without_answer_body(st->request, h->status);
  h->content_length = ended && !no_body ? 0 : n;
  h->framing = no_body ? HTTP_NO_BODY : h->content_length >= 0 ? HTTP_LENGTH : HTTP_CHUNKED;
}

static void bad_head(struct replica_stream *st) {
  reset(st, NGHTTP2_CANCEL);
  lost_before_head(st, st->too_large ? FAIL_REPLICA_HEAD_SIZE : FAIL_REPLICA_NOT_HTTP2, false);
}

static void interim_head(struct replica_stream *st) {
  request_response_head(st->request, &st->head);
  st->head.field_count = 0;
}

static void final_head(struct replica_stream *st) {
  struct request *r = st->request;
  st->head_seen = true;
  deadline_clear(&st->deadline);
  r->response_pipe.source = &answer_source;
  r->response_pipe.source_self = r;
  request_response_head(r, &st->head);
}

/* Whatever still comes, there is no body: the stream is reset when the client has
 * its answer, unless its end comes before. */
static void end_early(struct replica_stream *st) {
  st->ended = true;
  pipe_end(&st->request->response_pipe);
}

void replica_stream_head(struct replica_stream *st, bool ended) {
  if (st->request && !st->head_seen) {
    frame_head(st, ended);
    if (st->too_large || st->malformed || !fields_reserve(st, 0))
      bad_head(st);
    else if (st->head.status < 200)
      interim_head(st);
    else
      final_head(st);
  }
  if (ended)
    replica_stream_ended(st);
  else if (st->request && st->head_seen && st->head.framing == HTTP_NO_BODY)
    end_early(st);
}

void replica_stream_data(struct replica_stream *st, struct slice bytes) {
  if (pipe_write(&st->request->response_pipe, bytes) == OK)
    return;
  reset(st, NGHTTP2_CANCEL);
  broke_in_body(st);
}

/* When the request, too, is sent, the stream is over before the client hears of it:
 * its next request may want the place. */
void replica_stream_ended(struct replica_stream *st) {
  struct request *r = st->request;
  st->ended = true;
  if (!r)
    return;
  if (nghttp2_session_get_stream_local_close(st->connection->session, st->id) == 1)
    let_go(st);
  pipe_end(&r->response_pipe);
}

static void over(struct replica_stream *st, enum failure_kind why, bool refused) {
  if (st->ended)
    let_go(st);
  else if (st->head_seen)
    broke_in_body(st);
  else
    lost_before_head(st, why, refused);
  replica_stream_free(st);
}

void replica_stream_closed(struct replica_stream *st, uint32_t code) {
  over(st, code == NGHTTP2_PROTOCOL_ERROR ? FAIL_REPLICA_NOT_HTTP2 : FAIL_REPLICA_GAVE_UP,
       code == NGHTTP2_REFUSED_STREAM || !st->sent);
}

void replica_stream_lost(struct replica_stream *st, enum failure_kind why, bool refused) {
  over(st, why, refused || (st->connection->ready && !st->sent));
}

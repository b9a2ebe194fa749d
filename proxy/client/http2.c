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
};

void http2_session_touch(struct http2_session *s) {
  if (!s->client->closed)
    loop_gather(s->client->worker->loop, &s->flush_post);
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

void http2_session_renew(struct http2_session *s) {
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
    http2_session_renew(s);
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

/* After all that has come was read: what was taken back at once costs the replicas nothing. While
 * there is `more`, it is probably their bodies: head and body go to a replica together. */
static void begin_requests(struct http2_session *s, bool more) {
  struct list now;
  list_init(&now);
  list_move_all(&now, &s->beginners);
  struct list *node;
  while ((node = list_pop_front(&now))) {
    struct http2_stream *st = container_of(node, struct http2_stream, begin_node);
    list_push_back(&s->beginners, node);
    if (!more || st->remote_ended)
      http2_stream_begin(st);
  }
}

static void http2_halt(struct client *c) {
  struct http2_session *s = c->http2;
  http2_session_flush(s); /* what has arrived still goes out */
  if (c->closed)
    return;
  begin_requests(s, false);
  s->halted = true;
  s->in_session = true; /* nothing goes out, by which a stream of the list would end */
  list_each (node, &s->streams) {
    struct http2_stream *st = container_of(node, struct http2_stream, node);
    if (st->request && st->began) /* else its head is still to end */
      request_shut_down(st->request);
  }
  s->in_session = false;
  part(s);
  if (s->stream_count == 0) {
    http2_session_flush(s);
    client_close(c, transport_pending(&c->transport) != 0);
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

static void input(struct http2_session *s, struct slice bytes) {
  struct client *c = s->client;
  if (!take_in(s, &bytes)) {
    cell_add(&c->worker->cell->bad_requests, 1);
    http2_session_flush(s);
    return;
  }
  begin_requests(s, bytes.len != 0);
  watch_head(s);
  if (s->heard) {
    s->heard = s->ping_sent = false;
    http2_session_renew(s);
  }
  http2_session_touch(s);
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
  if (http2_session_open(s)) {
    nghttp2_session_del(s->session);
    free(s);
    return false;
  }
  c->http2 = s;
  http2_session_renew(s);
  http2_session_touch(s);
  if (c->worker->stopping)
    http2_stop(c);
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

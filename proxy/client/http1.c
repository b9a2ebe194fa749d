/* HTTP/1 from a client: reading requests, one after the other (RFC 9112).
 *
 * Heads are parsed where they were read. Only an incomplete head, or what a client
 * sent before its turn (pipelining), is copied into the stash. After a request for a
 * tunnel nothing is parsed any more: once it is granted bytes go both ways until the
 * end, and when it is refused the connection is closed behind the answer. */
#include <string.h>

#include "lib/base/wipe.h"
#include "proxy/client/client.h"
#include "proxy/config/config.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

enum {
  HEADS_AT_ONCE = 16,               /* then others have their turn */
  DISCARD_LIMIT_BYTES = 256 * 1024, /* of a body nobody wants, to keep the connection */
  DISCARD_LIMIT_US = 2 * 1000 * 1000,
};

static void deadline_in(struct client *c, int64_t seconds) {
  deadline_set(c->worker->loop, &c->deadline, loop_now(c->worker->loop) + seconds * USEC_PER_S);
}

static bool fills_pipe(const struct http1_client *h) {
  return h->place == HTTP1_AT_BODY || h->place == HTTP1_AT_UPGRADE || h->place == HTTP1_AT_TUNNEL;
}

/* It is the client that is waited for. */
static void body_wait(struct client *c) {
  struct http1_client *h = &c->http1;
  h->asked_us = loop_now(c->worker->loop);
  deadline_set(c->worker->loop, &c->deadline, h->asked_us + h->patience_us);
}

/* It has been waited for until now, and n bytes have come. */
static void body_came(struct client *c, size_t n) {
  const struct config *config = c->worker->config;
  struct http1_client *h = &c->http1;
  usec_t most = config->body_idle_timeout_s * USEC_PER_S, rate = config->body_rate_min_bytes;
  h->patience_us -= loop_now(c->worker->loop) - h->asked_us;
  h->patience_us += rate ? (usec_t)n * USEC_PER_S / rate : most;
  if (h->patience_us > most)
    h->patience_us = most;
  body_wait(c);
}

void client_http1_ask_body(struct client *c) {
  if (c->http1.place == HTTP1_AT_BODY && c->deadline.at == USEC_NEVER)
    body_wait(c);
}

/* The body's bytes have gone on: read more, unless that was paused for another reason. */
static void body_credit(struct pipe *p, size_t n) {
  struct client *c = p->source_self;
  if (!fills_pipe(&c->http1) || !c->transport.paused || pipe_full(p))
    return;
  transport_resume(&c->transport);
  if (c->http1.place == HTTP1_AT_BODY)
    body_wait(c);
}

static const struct pipe_source_ops body_source = {.credit = body_credit};

static void refuse(struct client *c, enum http_method method, enum failure_kind kind) {
  struct http1_client *h = &c->http1;
  h->keep_alive = false;
  h->place = HTTP1_AT_ANSWER;
  struct request *r = client_request(c, &http1_answer_ops, c);
  if (!r) {
    client_close(c, false);
    return;
  }
  h->request = r;
  r->head.method = method;
  request_refuse(r, kind);
}

static enum failure_kind bad_head(enum err e) {
  return e == ERR_LIMIT ? FAIL_HEAD_SIZE : e == ERR_RANGE ? FAIL_HTTP_VERSION : FAIL_NOT_HTTP1;
}

static void start_request(struct client *c, struct http_head *head) {
  struct http1_client *h = &c->http1;
  struct request *r = client_request(c, &http1_answer_ops, c);
  if (!r || request_take_head(r, head) != OK) {
    if (r)
      request_discard(r);
    client_close(c, false);
    return;
  }
  http_head_forget(head, HTTP_AUTHORIZATION); /* in what was read; the request has its own */
  cell_add(&c->worker->cell->requests_http1, 1);
  deadline_clear(&c->deadline);
  h->heads_left--;
  h->request = r;
  h->keep_alive = head->keep_alive && !c->worker->stopping;
  h->discarded = 0;
  r->request_pipe.source = &body_source;
  r->request_pipe.source_self = c;
  http1_body_init(&h->body, head);
  h->place = HTTP1_AT_BODY;
  if (head->framing == HTTP_TUNNEL) {
    h->place = HTTP1_AT_UPGRADE;
  } else if (head->framing == HTTP_NO_BODY) {
    h->place = HTTP1_AT_ANSWER;
    request_body_end(r);
  } else {
    h->patience_us = c->worker->config->body_idle_timeout_s * USEC_PER_S;
    if (!head->expect_continue) /* else when it is told to send */
      body_wait(c);
  }
  request_begin(r);
}

/* The length of the request line, with leading CRLF and without its end. */
static size_t request_line_bytes(struct slice head) {
  const char *end = memchr(head.data, '\n', head.len);
  if (end && end - head.data <= 1) /* the CRLF that may stand in front */
    end = memchr(end + 1, '\n', head.len - (size_t)(end + 1 - head.data));
  return end ? (size_t)(end - head.data) : head.len;
}

static bool head_within_limits(struct client *c, struct slice in, size_t head_bytes) {
  const struct config *config = c->worker->config;
  struct slice seen = slice_of(in.data, head_bytes ? head_bytes : in.len);
  if (request_line_bytes(seen) > (size_t)config->request_line_limit_bytes) {
    cell_add(&c->worker->cell->limits[LIMIT_HEAD_SIZE], 1);
    wipe_slice(in); /* nobody has looked for a token */
    refuse(c, HTTP_METHOD_OTHER, FAIL_LINE_SIZE);
    return false;
  }
  if (seen.len > (size_t)config->head_limit_bytes) {
    cell_add(&c->worker->cell->limits[LIMIT_HEAD_SIZE], 1);
    wipe_slice(in);
    refuse(c, HTTP_METHOD_OTHER, FAIL_HEAD_SIZE);
    return false;
  }
  return true;
}

/* Returns how many bytes were used: a whole head, or none. */
static size_t read_head(struct client *c, struct slice in) {
  struct http1_client *h = &c->http1;
  size_t n = http1_head_end(in, &h->scanned);
  if (!head_within_limits(c, in, n))
    return in.len;
  if (n == 0)
    return 0;
  h->scanned = 0;
  struct http_head head;
  http_head_init(&head, c->worker->fields, (uint16_t)c->worker->config->head_fields_max);
  enum err e = http1_parse_request(slice_of(in.data, n), &head);
  if (e == ERR_LIMIT)
    cell_add(&c->worker->cell->limits[LIMIT_HEAD_SIZE], 1);
  if (e) {
    wipe_slice(slice_of(in.data, n));
    refuse(c, head.method, bad_head(e));
  } else {
    start_request(c, &head);
  }
  return n;
}

static void body_over(struct client *c) {
  struct http1_client *h = &c->http1;
  deadline_clear(&c->deadline);
  if (h->place == HTTP1_AT_BODY) {
    h->place = HTTP1_AT_ANSWER;
    if (c->transport.was_full) /* the answer waits for the client to take some of it */
      client_watch_stall(c);
    request_body_end(h->request);
  } else {
    client_http1_next(c);
  }
}

static void body_bad(struct client *c) {
  struct http1_client *h = &c->http1;
  h->keep_alive = false;
  if (h->place == HTTP1_AT_DISCARD) {
    client_http1_next(c);
    return;
  }
  h->place = HTTP1_AT_ANSWER;
  request_fail(h->request, bad_head(ERR_SYNTAX));
  request_end(h->request, END_OWN_ANSWER);
}

static void body_bytes(struct client *c, struct slice span) {
  struct http1_client *h = &c->http1;
  if (h->place == HTTP1_AT_DISCARD) {
    h->discarded += (int64_t)span.len;
    if (h->discarded > DISCARD_LIMIT_BYTES) {
      h->place = HTTP1_AT_END;
      client_finish(c);
    }
    return;
  }
  if (c->deadline.at != USEC_NEVER)
    body_came(c, span.len);
  request_body(h->request, span);
  if (h->place == HTTP1_AT_BODY && pipe_full(&h->request->request_pipe)) {
    transport_pause(&c->transport);
    deadline_clear(&c->deadline); /* now it is we who wait */
  }
}

static size_t read_tunnel(struct client *c, struct slice in) {
  struct http1_client *h = &c->http1;
  request_body(h->request, in);
  if (fills_pipe(h) && pipe_full(&h->request->request_pipe))
    transport_pause(&c->transport);
  return in.len;
}

/* Returns how many bytes were used. Stops when the place changes. */
static size_t read_body(struct client *c, struct slice in) {
  struct http1_client *h = &c->http1;
  enum http1_place place = h->place;
  size_t before = in.len;
  while (h->place == place && !c->closed) {
    struct slice span, value;
    enum http1_event event = http1_body_next(&h->body, &in, &span, &value);
    if (event == HTTP1_DATA)
      body_bytes(c, span);
    else if (event == HTTP1_TRAILER && place == HTTP1_AT_BODY)
      request_trailer(h->request, &h->request->request_pipe, span, value);
    else if (event == HTTP1_END)
      body_over(c);
    else if (event == HTTP1_BAD)
      body_bad(c);
    else if (event == HTTP1_MORE)
      break;
  }
  return before - in.len;
}

/* Answers of our own are there at once: who takes none of them asks for no more. */
static bool may_ask(struct client *c) {
  return c->http1.heads_left > 0 && !transport_full(&c->transport);
}

/* As far as it goes; returns how many bytes were used. */
static size_t consume(struct client *c, struct slice in) {
  struct http1_client *h = &c->http1;
  size_t before = in.len;
  while (in.len && !c->closed) {
    size_t n = 0;
    if (h->place == HTTP1_AT_HEAD)
      n = may_ask(c) ? read_head(c, in) : 0;
    else if (h->place == HTTP1_AT_BODY || h->place == HTTP1_AT_DISCARD)
      n = read_body(c, in);
    else if (h->place == HTTP1_AT_UPGRADE || h->place == HTTP1_AT_TUNNEL)
      n = read_tunnel(c, in);
    else if (h->place == HTTP1_AT_END)
      n = in.len;
    if (n == 0)
      break;
    in = slice_skip(in, n);
  }
  return before - in.len;
}

static void head_begun(struct client *c) {
  struct http1_client *h = &c->http1;
  if (h->place != HTTP1_AT_HEAD || h->head_begun)
    return;
  h->head_begun = true;
  if (h->served) /* the first has been waited for since the accept */
    deadline_in(c, c->worker->config->head_timeout_s);
}

/* Of what goes to the stash nothing stays where it was read: there may be a token in it. */
static void take_in(struct client *c, struct slice bytes) {
  struct stash *stash = &c->http1.stash;
  if (stash->len == 0) {
    struct slice rest = slice_skip(bytes, consume(c, bytes));
    if (!c->closed && stash_append(stash, rest) != OK)
      client_close(c, false);
    wipe_slice(rest);
  } else if (stash_append(stash, bytes) != OK) {
    client_close(c, false);
  } else {
    size_t used = consume(c, stash_slice(stash));
    if (!c->closed)
      stash_drop(stash, used);
    wipe_slice(bytes);
  }
}

/* What is left over belongs to a later turn: until then no more is read. */
static void settle(struct client *c) {
  struct http1_client *h = &c->http1;
  if (c->closed || h->stash.len == 0)
    return;
  if (h->place == HTTP1_AT_HEAD && may_ask(c)) {
    head_begun(c);
    return;
  }
  if (h->place == HTTP1_AT_HEAD && h->heads_left == 0)
    loop_post(c->worker->loop, &h->next_post);
  else if (h->place == HTTP1_AT_HEAD)
    client_watch_stall(c);
  if (h->place == HTTP1_AT_HEAD || h->place == HTTP1_AT_ANSWER)
    transport_pause(&c->transport);
}

static void http1_bytes(struct client *c, struct slice bytes) {
  struct http1_client *h = &c->http1;
  h->in_read = true;
  h->heads_left = HEADS_AT_ONCE;
  take_in(c, bytes);
  h->in_read = false;
  settle(c);
}

/* Goes on with what a pipelining client has sent already. */
static void next_run(struct post *p) {
  struct client *c = container_of(p, struct client, http1.next_post);
  if (c->closed)
    return;
  transport_resume(&c->transport);
  http1_bytes(c, SLICE_NONE);
}

bool client_http1_keeps(const struct client *c) {
  const struct http1_client *h = &c->http1;
  if (!h->keep_alive || c->worker->stopping)
    return false;
  if (h->place != HTTP1_AT_BODY)
    return h->place != HTTP1_AT_UPGRADE;
  /* A client that waits for 100 may never send the body; one that is sending much
   * is not worth listening to. */
  return !h->request->head.expect_continue && h->body.framing == HTTP_LENGTH &&
         h->body.left <= DISCARD_LIMIT_BYTES;
}

static void discard_rest(struct client *c) {
  struct http1_client *h = &c->http1;
  h->place = HTTP1_AT_DISCARD;
  deadline_set(c->worker->loop, &c->deadline, loop_now(c->worker->loop) + DISCARD_LIMIT_US);
  transport_resume(&c->transport);
}

void client_http1_next(struct client *c) {
  struct http1_client *h = &c->http1;
  h->request = NULL;
  if (c->closed)
    return;
  if (h->broken) {
    h->place = HTTP1_AT_END;
    h->until_close ? client_close(c, true) : client_finish(c);
  } else if (c->transport.ended) {
    client_close(c, false);
  } else if (h->place == HTTP1_AT_BODY) {
    discard_rest(c);
  } else if (!h->keep_alive) {
    h->place = HTTP1_AT_END;
    client_finish(c);
  } else {
    h->place = HTTP1_AT_HEAD;
    h->head_begun = false;
    h->served = true;
    deadline_in(c, c->worker->config->idle_timeout_s);
    if (c->worker->stopping) /* its answer has not said so */
      client_expect_last(c);
    if (!h->in_read && (h->stash.len || c->transport.paused))
      loop_post(c->worker->loop, &h->next_post);
  }
}

/* More of the body is to come, and there is room for it. */
static bool owes_body(const struct client *c) {
  return c->http1.place == HTTP1_AT_BODY && !c->transport.paused;
}

static void http1_drained(struct client *c) {
  struct http1_client *h = &c->http1;
  if (h->request && !owes_body(c))
    deadline_clear(&c->deadline);
  if (h->request) {
    pipe_pump(&h->request->response_pipe);
  } else if (h->place == HTTP1_AT_HEAD && c->transport.paused) {
    deadline_in(c, c->worker->config->idle_timeout_s);
    loop_post(c->worker->loop, &h->next_post);
  }
}

static void idle_expired(struct client *c) {
  if (c->worker->stopping) {
    c->http1.place = HTTP1_AT_END;
    client_finish(c);
    return;
  }
  bool idle = c->http1.served && !c->http1.head_begun;
  cell_add(&c->worker->cell->limits[idle ? LIMIT_IDLE : LIMIT_HEAD_TIMEOUT], 1);
  client_close(c, false);
}

static void http1_expired(struct client *c) {
  struct http1_client *h = &c->http1;
  if (c->transport.finishing) {
    client_finish_expired(c);
  } else if (transport_pending(&c->transport) && !owes_body(c)) {
    client_stall_expired(c);
  } else if (h->place == HTTP1_AT_BODY) {
    cell_add(&c->worker->cell->limits[LIMIT_BODY_IDLE], 1);
    h->keep_alive = false;
    request_fail(h->request, FAIL_BODY_LATE);
    h->place = HTTP1_AT_ANSWER;
    request_end(h->request, END_TIMEOUT);
  } else if (h->place == HTTP1_AT_HEAD && h->stash.len) {
    cell_add(&c->worker->cell->limits[LIMIT_HEAD_TIMEOUT], 1);
    refuse(c, HTTP_METHOD_OTHER, FAIL_HEAD_LATE);
  } else if (h->place == HTTP1_AT_HEAD) {
    idle_expired(c);
  } else {
    client_close(c, false);
  }
}

/* Nobody reads the rest of the answer. */
static size_t drop_write(struct pipe *p, struct slice bytes) {
  return bytes.len;
}

static void drop_end(struct pipe *p) {
  struct client *c = p->sink_self;
  request_response_complete(c->http1.request);
}

static const struct pipe_sink_ops drop_sink = {.write = drop_write, .end = drop_end};

/* A tunnel's last bytes still go to the replica, then its end. */
static bool http1_ended(struct client *c) {
  struct http1_client *h = &c->http1;
  if (h->place != HTTP1_AT_TUNNEL)
    return false;
  struct request *r = h->request;
  h->place = HTTP1_AT_END;
  deadline_clear(&c->deadline);
  request_body_end(r);
  if (!r->finished)
    pipe_connect(&r->response_pipe, &drop_sink, c);
  return true;
}

static void http1_stop(struct client *c) {
  if (!c->http1.request && c->http1.place == HTTP1_AT_HEAD && c->http1.stash.len == 0)
    client_expect_last(c);
}

static void http1_halt(struct client *c) {
  struct http1_client *h = &c->http1;
  if (!h->request) { /* what waits of its answer is cut, which must show */
    client_close(c, transport_pending(&c->transport) != 0);
    return;
  }
  h->keep_alive = false;
  if (h->place == HTTP1_AT_BODY) /* the rest of it is not waited for */
    h->place = HTTP1_AT_ANSWER;
  request_shut_down(h->request);
}

static void http1_close(struct client *c) {
  struct http1_client *h = &c->http1;
  h->place = HTTP1_AT_END;
  if (h->request)
    request_leave(h->request);
  post_cancel(&h->next_post);
  stash_free(&h->stash);
}

void client_http1_start(struct client *c) {
  size_t limit = (size_t)c->worker->config->head_limit_bytes + 2 * LOOP_READ_BYTES;
  c->http1.stash = (struct stash)STASH_INIT(limit); /* one read behind an incomplete head */
  post_init(&c->http1.next_post, next_run);
}

const struct client_protocol client_http1 = {
    .bytes = http1_bytes,
    .drained = http1_drained,
    .expired = http1_expired,
    .ended = http1_ended,
    .stop = http1_stop,
    .halt = http1_halt,
    .close = http1_close,
};

#include "proxy/request/request.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/pool.h"
#include "lib/http/json_member.h"
#include "lib/net/loop.h"
#include "proxy/config/config.h"
#include "proxy/request/account.h"
#include "proxy/request/answer.h"
#include "proxy/request/fleet.h"
#include "proxy/request/lease.h"
#include "proxy/request/outlier.h"
#include "proxy/request/worker.h"

_Static_assert(sizeof(struct request) <= 1024, "the allocator's next size is 1280");

enum {
  REQUEST_ATTEMPTS_MAX = 8, /* ways back to the hold */
  REQUEST_ID_BYTES_MAX = 128,
  SEED_DIGITS = 16,
  SERIAL_DIGITS = 12,
};

static void request_walk(struct request *r);

static void request_woken(struct post *p) {
  struct request *r = container_of(p, struct request, wake_post);
  if (r->finished)
    return;
  r->waiting = false;
  request_walk(r);
}

static void request_release(struct post *p) {
  struct request *r = container_of(p, struct request, free_post);
  struct worker *w = r->worker;
  arena_reset(&r->arena);
  pool_put(w->requests, r);
}

struct request *request_new(struct worker *w, const struct client_ops *ops, void *client) {
  struct request *r = pool_get(w->requests);
  if (!r)
    return NULL;
  memset(r, 0, sizeof *r);
  r->worker = w;
  r->client_ops = ops;
  r->client = client;
  r->scale_up_s = -1;
  r->begun_us = loop_now(w->loop);
  list_init(&r->node);
  post_init(&r->wake_post, request_woken);
  post_init(&r->free_post, request_release);
  arena_init(&r->arena, w->arena_blocks, REQUEST_ARENA_LIMIT_BYTES);
  pipe_init(&r->request_pipe, w->loop->chunks, (size_t)w->config->pipe_limit_bytes,
            (size_t)w->config->replay_bytes);
  pipe_init(&r->response_pipe, w->loop->chunks, (size_t)w->config->pipe_limit_bytes, 0);
  return r;
}

void request_discard(struct request *r) {
  r->finished = true;
  pipe_close(&r->request_pipe);
  pipe_close(&r->response_pipe);
  loop_post(r->worker->loop, &r->free_post);
}

/* All texts in one piece, so that a held request owns little but its head. */
enum err request_take_head(struct request *r, const struct http_head *h) {
  size_t bytes = h->method_text.len + h->target.len + h->authority.len + 3;
  for (int i = 0; i < h->field_count; i++)
    bytes += h->fields[i].name.len + h->fields[i].value.len;
  struct http_field *fields = arena_alloc(&r->arena, sizeof *fields * (h->field_count + 1u));
  char *at = arena_alloc(&r->arena, bytes);
  if (!fields || !at)
    return ERR_MEMORY;
  r->head = *h;
  r->head.fields = fields;
  r->head.field_max = h->field_count + 1;
  struct slice *texts[] = {&r->head.method_text, &r->head.target, &r->head.authority};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct slice s = *texts[i];
    *texts[i] = slice_of(at, s.len);
    at = s.len ? (char *)mempcpy(at, s.data, s.len) : at;
  }
  for (int i = 0; i < h->field_count; i++) {
    const struct http_field *f = &h->fields[i];
    fields[i] = *f;
    fields[i].name.data = at;
    at = mempcpy(at, f->name.data, f->name.len);
    fields[i].value.data = at;
    if (f->value.len)
      at = mempcpy(at, f->value.data, f->value.len);
  }
  return OK;
}

const char *request_text(struct request *r, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  struct slice copy = arena_copy(&r->arena, slice_str(text));
  return copy.data ? copy.data : "";
}

struct slice request_list(struct request *r, char *const *words) {
  size_t bytes = 0;
  for (char *const *w = words; *w; w++)
    bytes += strlen(*w) + sizeof ", " - 1;
  char *list = arena_alloc(&r->arena, bytes), *at = list;
  if (!list)
    return SLICE_NONE;
  for (; *words; words++)
    at = stpcpy(stpcpy(at, *words), words[1] ? ", " : "");
  return slice_of(list, (size_t)(at - list));
}

enum step_result request_fail(struct request *r, enum failure_kind kind) {
  const struct failure *f = failure_of(kind);
  r->failure = kind;
  r->failure_message = f->message;
  r->retry_after_s = f->retry_after_s;
  r->ending = END_OWN_ANSWER;
  if (f->counted)
    cell_add((cell_t *)((char *)r->worker->cell + f->counted), 1);
  return STEP_FAIL;
}

enum step_result request_fail_later(struct request *r, enum failure_kind kind, usec_t wait) {
  request_fail(r, kind);
  r->retry_after_s = (wait + USEC_PER_S - 1) / USEC_PER_S;
  return STEP_FAIL;
}

enum step_result request_fail_naming(struct request *r, enum failure_kind kind, struct slice what) {
  const char *text = failure_of(kind)->message, *gap = strstr(text, "{}");
  assert(gap);
  request_fail(r, kind);
  r->failure_message =
      request_text(r, "%.*s%.*s%s", (int)(gap - text), text, SLICE_ARG(what), gap + 2);
  return STEP_FAIL;
}

enum step_result request_fail_beyond(struct request *r, enum failure_kind kind, int64_t limit) {
  return request_fail_naming(r, kind, slice_str(request_text(r, "%lld", (long long)limit)));
}

static int step_find(const struct request_step *steps, const char *name) {
  for (int i = 0; steps[i].name; i++)
    if (strcmp(steps[i].name, name) == 0)
      return i;
  assert(!"no such step");
  return 0;
}

void request_back(struct request *r, const char *step_name) {
  r->step = step_find(r->worker->steps, step_name);
}

/* The last step of the table; every way ends here, once. */
static void request_finish(struct request *r) {
  if (r->finished)
    return;
  r->finished = true;
  if (r->waiting && r->cancel_wait)
    r->cancel_wait(r);
  post_cancel(&r->wake_post);
  if (r->lease)
    r->replica_ops->cancel(r);
  r->worker->finish->run(r);
  pipe_close(&r->request_pipe);
  pipe_close(&r->response_pipe);
  r->client_ops->finished(r);
  loop_post(r->worker->loop, &r->free_post);
}

static void request_answer_failure(struct request *r) {
  if (r->response_started)
    r->client_ops->abort(r);
  else if (r->failure)
    answer_failure(r);
}

/* Steps run in a loop, not in each other: the depth of the stack is that of one. */
static void request_walk(struct request *r) {
  enum step_result result = STEP_NEXT;
  while (result == STEP_NEXT && !r->finished) {
    int at = r->step;
    result = r->worker->steps[at].run(r);
    if (result == STEP_NEXT && r->step == at)
      r->step++;
  }
  if (r->finished)
    return;
  if (result == STEP_WAIT) {
    r->waiting = true;
    return;
  }
  if (result == STEP_FAIL)
    request_answer_failure(r);
  request_finish(r);
}

static void put_hex(char *to, int digits, uint64_t value) {
  for (; digits > 0; value >>= 4)
    to[--digits] = "0123456789abcdef"[value & 15];
}

/* A client's own id is kept when it is short and plain enough for a log line. */
static void request_identify(struct request *r) {
  struct slice id = http_head_value(&r->head, HTTP_X_REQUEST_ID);
  if (id.len >= 1 && id.len <= REQUEST_ID_BYTES_MAX && http_is_token(id)) {
    r->id = id;
    return;
  }
  char *text = arena_alloc(&r->arena, SEED_DIGITS + SERIAL_DIGITS);
  if (!text)
    return;
  put_hex(text, SEED_DIGITS, r->worker->request_seed);
  put_hex(text + SEED_DIGITS, SERIAL_DIGITS, ++r->worker->request_serial);
  r->id = slice_of(text, SEED_DIGITS + SERIAL_DIGITS);
}

void request_begin(struct request *r) {
  request_identify(r);
  request_walk(r);
}

void request_refuse(struct request *r, enum failure_kind kind) {
  request_identify(r);
  request_fail(r, kind);
  request_end(r, END_OWN_ANSWER);
}

void request_invite(struct request *r) {
  if (!r->head.expect_continue || r->request_pipe.total || r->request_pipe.ended || r->invited)
    return;
  r->invited = true;
  struct http_head h;
  http_head_init(&h, NULL, 0);
  h.status = 100;
  h.content_length = -1;
  r->client_ops->interim(r, &h);
}

/* Somebody looks at the body before it goes anywhere; more of it must come for that. */
static void body_seen(struct request *r, struct slice bytes) {
  uint64_t before = r->request_pipe.total - bytes.len, limit = r->request_pipe.limit_bytes;
  uint64_t left = before < limit ? limit - before : 0;
  if (bytes.len > left) /* what lies beyond is not looked at */
    bytes.len = left;
  if (json_member_feed(r->seek, bytes) == JSON_MEMBER_MORE)
    pipe_lend(&r->request_pipe);
  if (r->seek->result != JSON_MEMBER_MORE || pipe_full(&r->request_pipe))
    request_wake(r);
}

void request_body(struct request *r, struct slice bytes) {
  if (r->finished)
    return;
  if (r->body_limit_bytes && r->request_pipe.total + bytes.len > (uint64_t)r->body_limit_bytes)
    request_fail_beyond(r, FAIL_BODY_SIZE, r->body_limit_bytes);
  else if (pipe_write(&r->request_pipe, bytes) == OK) {
    if (r->seek)
      body_seen(r, bytes);
    return;
  } else
    request_fail(r, FAIL_NO_BODY_MEMORY);
  request_end(r, END_OWN_ANSWER);
}

void request_body_end(struct request *r) {
  if (r->finished)
    return;
  pipe_end(&r->request_pipe);
  if (r->seek)
    request_wake(r);
}

/* Not what is of the connection, nor what may pass for something else. */
static bool trailer_goes_on(const struct request *r, const struct pipe *p, struct slice name) {
  return http_field_may_trail(name) &&
         (p == &r->response_pipe ? !slice_list_has(r->answer_hops, name)
                                 : !http_name_is_ambiguous(name));
}

void request_trailer(struct request *r, struct pipe *p, struct slice name, struct slice value) {
  if (!trailer_goes_on(r, p, name))
    return;
  if (!p->trailers)
    p->trailers = arena_alloc(&r->arena, REQUEST_TRAILERS_MAX * sizeof *p->trailers);
  struct slice n = arena_copy(&r->arena, name), v = arena_copy(&r->arena, value);
  if (p->trailers && n.data && v.data && p->trailer_count < REQUEST_TRAILERS_MAX)
    p->trailers[p->trailer_count++] = (struct http_field){n, v, http_name_find(n)};
}

void request_wake(struct request *r) {
  if (!r->finished)
    loop_post(r->worker->loop, &r->wake_post);
}

void request_end(struct request *r, enum ending ending) {
  if (r->finished)
    return;
  r->ending = ending;
  request_answer_failure(r);
  request_finish(r);
}

void request_leave(struct request *r) {
  if (r->finished)
    return;
  r->ending = END_CLIENT_GONE;
  request_finish(r);
}

void request_shut_down(struct request *r) {
  if (r->finished)
    return;
  request_fail(r, FAIL_SHUTDOWN);
  request_end(r, END_SHUTDOWN);
}

/* The one way back. Taken only while nothing of an answer has been sent and the
 * body can be replayed. */
static bool go_back(struct request *r) {
  if (r->response_started || r->attempts >= REQUEST_ATTEMPTS_MAX ||
      !pipe_can_rewind(&r->request_pipe) || pipe_rewind(&r->request_pipe) != OK)
    return false;
  account_replay(r);
  r->attempts++;
  r->avoid = r->replica ? r->replica->shared : NULL;
  lease_return(r);
  r->relaying = r->connected = false;
  request_back(r, "hold");
  request_wake(r);
  return true;
}

/* An answer that only says that this replica cannot, where another one may. */
static bool worth_another(const struct request *r, int status) {
  return (status == 502 || status == 503) && r->worker->config->retry_unavailable &&
         !r->retried_answer && !r->interims && r->attempts < REQUEST_ATTEMPTS_MAX &&
         pipe_can_rewind(&r->request_pipe) && endpoint_has_other(r->endpoint, r->replica->shared);
}

bool request_response_head(struct request *r, struct http_head *h) {
  if (http_head_is_interim(h)) {
    if (r->interims++ < REQUEST_INTERIMS_MAX)
      r->client_ops->interim(r, h);
    return true;
  }
  outlier_answered(r, h->status);
  if (worth_another(r, h->status)) {
    r->retried_answer = true;
    r->replica_ops->cancel(r);
    if (go_back(r))
      return false;
    request_fail(r, h->status == 502 ? FAIL_REPLICA_SAID_502 : FAIL_REPLICA_SAID_503);
    request_end(r, END_REPLICA_FAILED);
    return false;
  }
  pipe_forget(&r->request_pipe);
  r->answer = h;
  for (const struct response_step *s = r->worker->response_steps; s->name; s++)
    if (!s->run(r)) {
      request_end(r, r->ending);
      return false;
    }
  return !r->finished;
}

void request_response_complete(struct request *r) {
  if (r->finished)
    return;
  r->ending = END_COMPLETE;
  request_finish(r);
}

void request_replica_lost(struct request *r, enum failure_kind why, bool refused) {
  if (r->finished)
    return;
  if (!r->connected)
    cell_add(&r->endpoint->cell->connect_failures, 1);
  if (!r->connected || !(refused || r->lease_reused)) { /* else it was only closing */
    cell_add(&r->replica->cell->failures_total, 1);
    outlier_failed(r);
  }
  if ((refused || r->lease_reused) && go_back(r))
    return;
  if (!r->response_started)
    request_fail(r, why);
  request_end(r, END_REPLICA_FAILED);
}

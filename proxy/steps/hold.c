/* Waiting until a replica has room: the reason this proxy exists.
 *
 * A request that finds room passes straight through. One that does not gets a
 * ticket and leaves the stack; whatever may have changed its lot (a grant, news of
 * the fleet, a new token set, its deadline) wakes it, and it looks again. */
#include "proxy/config/config.h"
#include "proxy/request/account.h"
#include "proxy/request/fleet.h"
#include "proxy/request/worker.h"
#include "proxy/steps/access.h"
#include "proxy/steps/balance.h"
#include "proxy/steps/hold_ticket.h"
#include "proxy/steps/pace.h"
#include "proxy/steps/steps.h"

enum {
  RETRY_FIRST_US = 50 * 1000,
  RETRY_MOST_US = 1000 * 1000,
  COLD_START_UNKNOWN_US = 5 * 1000 * 1000,
  COLD_START_MOST_US = 60 * 1000 * 1000, /* for Retry-After */
};

/* When to come back is learned from past cold starts. */
static enum step_result not_ready(struct request *r, enum failure_kind kind) {
  usec_t wait = r->endpoint->cold_start_ms * 1000;
  if (wait <= 0)
    wait = COLD_START_UNKNOWN_US;
  return request_fail_later(r, kind, wait < COLD_START_MOST_US ? wait : COLD_START_MOST_US);
}

/* Whole seconds from 1; more than hold_max_s is clamped to it. */
static enum step_result read_timeout(struct request *r) {
  const struct http_field *f = http_head_get(&r->head, HTTP_X_SCALE_UP_TIMEOUT);
  if (!f || r->scale_up_s >= 0)
    return STEP_NEXT;
  long long seconds;
  bool digits = f->value.len > 0;
  for (size_t i = 0; i < f->value.len; i++)
    digits = digits && f->value.data[i] >= '0' && f->value.data[i] <= '9';
  if (!digits)
    return request_fail(r, FAIL_WAIT_HEADER);
  if (!slice_decimal(f->value, &seconds)) /* digits, but too many of them */
    seconds = r->worker->config->hold_max_s;
  if (seconds < 1)
    return request_fail(r, FAIL_WAIT_HEADER);
  if (seconds > r->worker->config->hold_max_s)
    seconds = r->worker->config->hold_max_s;
  r->scale_up_s = seconds;
  r->hold_until_us = r->begun_us + seconds * USEC_PER_S;
  return STEP_NEXT;
}

/* What no waiting helps against. */
static enum step_result check_endpoint(struct request *r) {
  struct endpoint *e = r->endpoint;
  if (e->gone)
    return request_fail(r, FAIL_ENDPOINT_GONE);
  if (e->def->paused || e->state == ENDPOINT_PAUSED)
    return request_fail(r, FAIL_PAUSED);
  if (e->state == ENDPOINT_FAILED && e->ready_count == 0)
    return request_fail(r, FAIL_ENDPOINT_FAILED);
  return STEP_NEXT;
}

/* Room at once: a newcomer never overtakes who waits. */
static bool pass(struct request *r) {
  struct endpoint *e = r->endpoint;
  struct hold_queue *q = e->shared->hold;
  if (e->ready_count == 0 || hold_queue_count(q))
    return false;
  if (e->def->concurrency_max == 0)
    return true;
  struct replica *replica = balance_pick(r->worker, e, r->avoid);
  if (!replica || !hold_queue_pass(q, replica->shared))
    return false;
  r->place = replica_shared_ref(replica->shared);
  return true;
}

static enum step_result queue_up(struct request *r) {
  struct endpoint *e = r->endpoint;
  usec_t until = r->scale_up_s >= 0 ? r->hold_until_us : 0;
  if (e->ready_count) {
    usec_t queue = loop_now(r->worker->loop) + e->def->queue_max_s * USEC_PER_S;
    until = until > queue ? until : queue;
  }
  account_pending(r);
  enum err err = hold_ticket_queue(r, until);
  if (err == ERR_LIMIT && e->ready_count)
    return request_fail(r, FAIL_QUEUE_FULL);
  if (err)
    return not_ready(r, FAIL_HOLD_FULL);
  if (e->ready_count && r->worker->process->shares) /* our share of the places may grow */
    r->worker->process->wanted(r->worker->process, e->shared);
  return STEP_WAIT;
}

/* Nobody is ready and the client will not wait: it is told when to come back. Who
 * comes back at once is slowed down. */
static enum step_result turn_away(struct request *r) {
  struct worker *w = r->worker;
  unsigned char key[HOLD_KEY_BYTES];
  hold_ticket_key(r, key);
  if (!pace_repeats(w->process->pace, key, sizeof key, loop_now(w->loop)) ||
      hold_ticket_pace(r, w->config->pace_s * USEC_PER_S) != OK) {
    account_pending(r);
    w->process->wanted(w->process, r->endpoint->shared);
    return not_ready(r, FAIL_SCALING_UP);
  }
  cell_add(&w->cell->paced, 1);
  return STEP_WAIT;
}

static enum step_result arrive(struct request *r) {
  enum step_result result = check_endpoint(r);
  if (result != STEP_NEXT)
    return result;
  if (pass(r)) {
    account_pending(r);
    return STEP_NEXT;
  }
  if (r->endpoint->ready_count == 0 && r->scale_up_s < 0 && !r->attempts)
    return turn_away(r);
  return queue_up(r);
}

/* A replica that was ready refused: it may be about to listen, or about to be
 * found dead. Its waiters go to another one, once; then they neither give up nor hammer it. */
static enum step_result wait_before_retry(struct request *r) {
  if (r->retries == 0 && endpoint_has_other(r->endpoint, r->avoid)) {
    r->retries++;
    return arrive(r);
  }
  usec_t pause = (usec_t)RETRY_FIRST_US << (r->attempts < 5 ? r->attempts - 1 : 4);
  r->retries++;
  if (hold_ticket_retry(r, pause < RETRY_MOST_US ? pause : RETRY_MOST_US) != OK)
    return not_ready(r, FAIL_HOLD_FULL);
  return STEP_WAIT;
}

/* Replicas have come up meanwhile, but all are full: then the queue's own limit
 * counts from now on, once. */
static bool extend(struct request *r, struct hold_ticket *t) {
  if (t->extended || r->endpoint->ready_count == 0)
    return false;
  t->extended = true;
  return hold_ticket_until(t,
                           loop_now(r->worker->loop) + r->endpoint->def->queue_max_s * USEC_PER_S);
}

static enum step_result look_again_queued(struct request *r, struct hold_ticket *t) {
  if (t->granted) {
    hold_ticket_drop(r);
    return STEP_NEXT;
  }
  if (t->expired && !extend(r, t)) {
    bool full = r->endpoint->ready_count > 0;
    hold_ticket_drop(r);
    enum step_result result =
        full ? request_fail(r, FAIL_BUSY) : not_ready(r, FAIL_SCALE_UP_TIMEOUT);
    r->ending = END_TIMEOUT;
    return result;
  }
  t->expired = false;
  hold_ticket_want(r);
  return STEP_WAIT;
}

static enum step_result look_again_paced(struct request *r, struct hold_ticket *t) {
  bool expired = t->expired;
  if (!expired && r->endpoint->ready_count == 0)
    return STEP_WAIT;
  hold_ticket_drop(r);
  return r->endpoint->ready_count ? arrive(r) : not_ready(r, FAIL_SCALING_UP);
}

static enum step_result look_again(struct request *r) {
  struct hold_ticket *t = r->hold;
  enum step_result result = check_endpoint(r);
  if (result == STEP_NEXT)
    result = access_check(r);
  if (result != STEP_NEXT) {
    hold_ticket_drop(r);
    return result;
  }
  if (t->kind == TICKET_QUEUED)
    return look_again_queued(r, t);
  if (t->kind == TICKET_PACED)
    return look_again_paced(r, t);
  if (!t->expired)
    return STEP_WAIT;
  hold_ticket_drop(r);
  return arrive(r);
}

enum step_result step_hold(struct request *r) {
  r->cancel_wait = hold_ticket_drop;
  if (r->hold)
    return look_again(r);
  enum step_result result = read_timeout(r);
  if (result != STEP_NEXT)
    return result;
  if (r->attempts > r->retries)
    return wait_before_retry(r);
  return arrive(r);
}

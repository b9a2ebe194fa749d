#include "proxy/steps/hold_ticket.h"

#include <stdlib.h>
#include <string.h>

#include "lib/net/address.h"
#include "proxy/config/config.h"
#include "proxy/request/account.h"
#include "proxy/request/fleet.h"
#include "proxy/request/peer.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"
#include "proxy/steps/pace.h"

static void ticket_free(struct hold_ticket *t) {
  endpoint_unref(t->endpoint);
  free(t);
}

static void ticket_granted(struct mail *m) {
  struct hold_ticket *t = container_of(m, struct hold_ticket, waiter.grant);
  if (!t->request) {
    hold_queue_release(t->endpoint->shared->hold, t->waiter.place);
    ticket_free(t);
    return;
  }
  t->granted = true;
  t->request->place = t->waiter.place;
  request_wake(t->request);
}

static void ticket_expired(struct timer *timer) {
  struct hold_ticket *t = container_of(timer, struct hold_ticket, timer);
  t->expired = true;
  request_wake(t->request);
}

static struct hold_ticket *ticket_new(struct request *r, enum ticket_kind kind) {
  struct hold_ticket *t = calloc(1, sizeof *t);
  if (!t)
    return NULL;
  t->kind = kind;
  t->request = r;
  t->worker = r->worker;
  t->endpoint = endpoint_ref(r->endpoint);
  timer_init(&t->timer, ticket_expired);
  t->waiter.loop = r->worker->loop;
  t->waiter.grant.deliver = ticket_granted;
  t->waiter.ticket = r->ticket;
  hold_ticket_key(r, t->waiter.key);
  return t;
}

/* From here on the request is held, and r->cancel_wait takes it out again. */
static void ticket_give(struct request *r, struct hold_ticket *t) {
  r->hold = t;
  list_push_back(&r->worker->held, &r->node);
}

bool hold_ticket_until(struct hold_ticket *t, usec_t until) {
  t->expired = false;
  return timer_set(t->worker->loop, &t->timer, until) == OK;
}

void hold_ticket_key(const struct request *r, unsigned char key[HOLD_KEY_BYTES]) {
  memset(key, 0, HOLD_KEY_BYTES);
  struct sockaddr_storage client;
  if (r->token_name.data) /* it is known here: anybody can make up another */
    memcpy(key, r->token_hash, HOLD_KEY_BYTES);
  else
    address_network_key(
        (const struct sockaddr *)(peer_client(r, &client) == OK ? &client : r->peer), key);
}

/* What the request may come to own while it waits. */
static int64_t bytes_of(const struct request *r) {
  int64_t most = r->worker->config->pipe_limit_bytes, here = (int64_t)r->request_pipe.queue.len;
  int64_t body = r->head.content_length >= 0 ? r->head.content_length
                 : r->request_pipe.ended     ? here
                                             : most;
  if (body > most)
    body = most;
  if (body < here) /* more than that was read to find the model */
    body = here;
  return (int64_t)r->arena.total + body;
}

static bool count_in(_Atomic int64_t *counter, int64_t n, int64_t most) {
  if (atomic_fetch_add(counter, n) + n <= most || most == 0)
    return true;
  atomic_fetch_sub(counter, n);
  return false;
}

/* Against the limits of the endpoint and of the process. */
static enum err reserve(struct hold_ticket *t, struct request *r) {
  struct process *p = r->worker->process;
  const struct config *config = r->worker->config;
  int64_t n = bytes_of(r);
  if (!count_in(&p->held_requests, 1, config->hold_requests_max))
    return ERR_LIMIT;
  if (!count_in(&p->held_bytes, n, config->hold_bytes_max)) {
    atomic_fetch_sub(&p->held_requests, 1);
    return ERR_LIMIT;
  }
  if (!count_in(&t->endpoint->shared->held_bytes, n, t->endpoint->def->hold_bytes_max)) {
    atomic_fetch_sub(&p->held_bytes, n);
    atomic_fetch_sub(&p->held_requests, 1);
    return ERR_LIMIT;
  }
  t->bytes = n;
  return OK;
}

static void release(struct hold_ticket *t) {
  struct process *p = t->worker->process;
  atomic_fetch_sub(&p->held_requests, 1);
  atomic_fetch_sub(&p->held_bytes, t->bytes);
  atomic_fetch_sub(&t->endpoint->shared->held_bytes, t->bytes);
}

void hold_ticket_want(struct request *r) {
  struct hold_ticket *t = r->hold;
  if (t->wants || r->endpoint->ready_count)
    return;
  t->wants = true;
  cell_add(&r->endpoint->cell->waiting, 1);
  r->worker->process->wanted(r->worker->process, r->endpoint->shared);
}

enum err hold_ticket_queue(struct request *r, usec_t until) {
  struct hold_ticket *t = ticket_new(r, TICKET_QUEUED);
  if (!t)
    return ERR_MEMORY;
  enum err e = reserve(t, r);
  if (e) {
    ticket_free(t);
    return e;
  }
  e = timer_set(r->worker->loop, &t->timer, until);
  if (!e)
    e = hold_queue_join(r->endpoint->shared->hold, &t->waiter,
                        (size_t)r->endpoint->def->hold_requests_max);
  if (e) {
    timer_cancel(r->worker->loop, &t->timer);
    release(t);
    ticket_free(t);
    return e;
  }
  ticket_give(r, t);
  account_held(r, true);
  hold_ticket_want(r);
  return OK;
}

enum err hold_ticket_pace(struct request *r, usec_t pause) {
  struct pace *pace = r->worker->process->pace;
  if (!pace_wait_begin(pace))
    return ERR_LIMIT;
  struct hold_ticket *t = ticket_new(r, TICKET_PACED);
  if (!t || !hold_ticket_until(t, loop_now(r->worker->loop) + pause)) {
    pace_wait_end(pace);
    if (t)
      ticket_free(t);
    return ERR_MEMORY;
  }
  ticket_give(r, t);
  return OK;
}

enum err hold_ticket_retry(struct request *r, usec_t pause) {
  struct hold_ticket *t = ticket_new(r, TICKET_RETRY);
  if (!t)
    return ERR_MEMORY;
  enum err e = reserve(t, r);
  if (!e && !hold_ticket_until(t, loop_now(r->worker->loop) + pause)) {
    release(t);
    e = ERR_MEMORY;
  }
  if (e) {
    ticket_free(t);
    return e;
  }
  ticket_give(r, t);
  account_held(r, true);
  return OK;
}

void hold_ticket_drop(struct request *r) {
  struct hold_ticket *t = r->hold;
  if (!t)
    return;
  r->hold = NULL;
  r->ticket = t->waiter.ticket;
  list_remove(&r->node);
  timer_cancel(t->worker->loop, &t->timer);
  if (t->wants)
    cell_add(&t->endpoint->cell->waiting, -1);
  if (t->kind == TICKET_PACED) {
    pace_wait_end(t->worker->process->pace);
  } else {
    account_held(r, false);
    release(t);
  }
  t->request = NULL;
  bool out = t->kind != TICKET_QUEUED || t->granted ||
             hold_queue_leave(t->endpoint->shared->hold, &t->waiter);
  if (out)
    ticket_free(t);
}

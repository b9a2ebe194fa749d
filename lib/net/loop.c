#include "lib/net/loop.h"

#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/chunk.h"
#include "lib/net/records.h"
#include "lib/net/transport.h"

enum {
  CHUNKS_KEPT = 1024,
  BURST_ARRIVALS = 6, /* in a turn: fewer are no sign that more are about to come */
  NAP_NS = 50 * 1000, /* to which the kernel adds its timer slack, as much again */
};

static void mail_came(evutil_socket_t fd, short what, void *user) {
  struct loop *l = user;
  mailbox_deliver(&l->mailbox);
}

/* Fires what is due; libevent's clock is coarse, so perhaps nothing is. */
static void timers_due(evutil_socket_t fd, short what, void *user) {
  struct loop *l = user;
  l->timer_event_at = USEC_NEVER;
  l->now_us = 0;
  usec_t now = loop_now(l);
  struct heap_node *first;
  while ((first = heap_first(&l->timers)) && first->at <= now) {
    heap_remove(&l->timers, first);
    struct timer *t = container_of(first, struct timer, node);
    t->fire(t);
  }
}

static struct event_base *base_new(void) {
  struct event_config *config = event_config_new();
  if (!config)
    return NULL;
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
  struct event_base *base = event_base_new_with_config(config);
  event_config_free(config);
  return base;
}

static enum err loop_open(struct loop *l, size_t chunk_bytes_max) {
  if (mailbox_init(&l->mailbox) != OK)
    return ERR_IO;
  l->base = base_new();
  l->chunks = chunks_new(chunk_bytes_max, CHUNKS_KEPT);
  l->read_scratch = malloc(LOOP_READ_BYTES);
  l->plain_scratch = malloc(LOOP_READ_BYTES);
  l->write_scratch = malloc(LOOP_WRITE_BYTES);
  l->going_scratch = malloc(LOOP_WRITE_BYTES);
  l->batch = batch_new();
  if (!l->base || !l->chunks || !l->read_scratch || !l->plain_scratch || !l->write_scratch ||
      !l->going_scratch || !l->batch)
    return ERR_MEMORY;
  l->timer_event = event_new(l->base, -1, 0, timers_due, l);
  l->mail_event = event_new(l->base, l->mailbox.fd, EV_READ | EV_PERSIST, mail_came, l);
  if (!l->timer_event || !l->mail_event || event_add(l->mail_event, NULL))
    return ERR_MEMORY;
  return OK;
}

struct loop *loop_new(size_t chunk_bytes_max) {
  struct loop *l = calloc(1, sizeof *l);
  if (!l)
    return NULL;
  list_init(&l->posts);
  list_init(&l->flushes);
  list_init(&l->gathers);
  list_init(&l->unsure);
  list_init(&l->readable);
  l->timer_event_at = USEC_NEVER;
  l->mailbox.fd = -1;
  return loop_open(l, chunk_bytes_max) == OK ? l : loop_free(l);
}

struct loop *loop_free(struct loop *l) {
  if (!l)
    return NULL;
  if (l->timer_event)
    event_free(l->timer_event);
  if (l->mail_event)
    event_free(l->mail_event);
  if (l->base)
    event_base_free(l->base);
  if (l->mailbox.fd >= 0)
    mailbox_close(&l->mailbox);
  heap_clear(&l->timers);
  l->chunks = chunks_free(l->chunks);
  free(l->read_scratch);
  free(l->plain_scratch);
  free(l->write_scratch);
  free(l->going_scratch);
  l->batch = batch_free(l->batch);
  l->ciphers = ciphers_free(l->ciphers);
  free(l);
  return NULL;
}

usec_t loop_now(struct loop *l) {
  if (l->now_us == 0)
    l->now_us = clock_mono();
  return l->now_us;
}

/* One libevent timer stands for all; it is moved once a turn at most. */
static void timers_arm(struct loop *l) {
  struct heap_node *first = heap_first(&l->timers);
  if (!first || first->at >= l->timer_event_at)
    return;
  usec_t wait = first->at - clock_mono();
  if (wait < 0)
    wait = 0;
  struct timeval tv = {wait / USEC_PER_S, wait % USEC_PER_S};
  if (event_add(l->timer_event, &tv) == 0)
    l->timer_event_at = first->at;
}

static void run_posts(struct loop *l) {
  struct list now;
  list_init(&now);
  list_move_all(&now, &l->posts);
  struct list *node;
  while ((node = list_pop_front(&now))) {
    struct post *p = container_of(node, struct post, node);
    p->run(p);
  }
}

/* A burst is over with the first turn that brings nothing. */
static bool gathers_on(struct loop *l) {
  l->gathering = (l->arrivals >= BURST_ARRIVALS || (l->gathering && l->arrivals)) &&
                 loop_now(l) < l->gathering_since + LOOP_GATHER_US;
  return l->gathering;
}

static bool flushes_due(struct loop *l) {
  if (!list_empty(&l->gathers) && !gathers_on(l))
    list_move_all(&l->flushes, &l->gathers);
  return !list_empty(&l->flushes);
}

/* To the end: what one flush puts out may be another's input. */
static void run_flushes(struct loop *l) {
  flushes_due(l);
  do {
    struct list *node;
    while ((node = list_pop_front(&l->flushes))) {
      struct post *p = container_of(node, struct post, node);
      p->run(p);
    }
    transport_put_out(l); /* of readers, too: a handshake answers while it reads */
  } while (flushes_due(l));
}

/* Within a burst more is on its way, but not all of it is there: served one by one, events would
 * cost as many looks, reads and writes as there are of them. Whoever has a batch to do does not
 * rest. */
static void nap(struct loop *l) {
  if (l->gathering && l->arrivals < BATCH_OPS && !list_empty(&l->gathers) && list_empty(&l->posts))
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

void loop_turn(struct loop *l, bool wait) {
  if (wait)
    nap(l);
  timers_arm(l);
  bool idle = list_empty(&l->posts) && list_empty(&l->flushes) && list_empty(&l->gathers);
  l->now_us = 0;
  l->arrivals = 0;
  event_base_loop(l->base, EVLOOP_ONCE | (wait && idle ? 0 : EVLOOP_NONBLOCK));
  transport_read_ready(l);
  run_posts(l);
  run_flushes(l);
  if (!list_empty(&l->posts)) { /* what is over is freed: not worth a look at the sockets */
    run_posts(l);
    run_flushes(l);
  }
  l->turns++;
}

void loop_run(struct loop *l) {
  while (!l->stopping)
    loop_turn(l, true);
}

void loop_stop(struct loop *l) {
  l->stopping = true;
}

void post_init(struct post *p, void (*run)(struct post *p)) {
  list_init(&p->node);
  p->run = run;
}

void loop_post(struct loop *l, struct post *p) {
  if (list_empty(&p->node))
    list_push_back(&l->posts, &p->node);
}

void loop_flush_later(struct loop *l, struct post *p) {
  if (list_empty(&p->node))
    list_push_back(&l->flushes, &p->node);
}

void loop_gather(struct loop *l, struct post *p) {
  if (!list_empty(&p->node))
    return;
  if (list_empty(&l->gathers)) {
    l->gathering_since = loop_now(l);
    l->gathering = false;
  }
  list_push_back(&l->gathers, &p->node);
}

void post_cancel(struct post *p) {
  list_remove(&p->node);
}

void timer_init(struct timer *t, void (*fire)(struct timer *t)) {
  t->node = (struct heap_node){0};
  t->fire = fire;
}

enum err timer_set(struct loop *l, struct timer *t, usec_t at) {
  return heap_set(&l->timers, &t->node, at);
}

void timer_cancel(struct loop *l, struct timer *t) {
  heap_remove(&l->timers, &t->node);
}

void loop_send(struct loop *l, struct mail *m) {
  mailbox_send(&l->mailbox, m);
}

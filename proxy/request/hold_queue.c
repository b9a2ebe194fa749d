#include "proxy/request/hold_queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"
#include "lib/net/loop.h"
#include "proxy/request/outlier.h"
#include "proxy/request/shared.h"

enum { HOLD_LANES_MAX = 1 << 20 };

struct hold_lane {
  unsigned char key[HOLD_KEY_BYTES];
  struct list waiters; /* by ticket */
  struct list node;    /* among the lanes, in the order of their turns */
};

struct hold_queue {
  pthread_mutex_t lock;
  struct map lanes; /* key -> lane; a lane exists while somebody waits in it */
  struct list turns;
  uint64_t last_ticket;
  _Atomic size_t count;
  struct replica_shared **ready;
  int ready_count, next_ready;
};

struct hold_queue *hold_queue_new(void) {
  struct hold_queue *q = calloc(1, sizeof *q);
  if (!q)
    return NULL;
  pthread_mutex_init(&q->lock, NULL);
  map_init(&q->lanes, HOLD_LANES_MAX);
  list_init(&q->turns);
  return q;
}

static void ready_forget(struct hold_queue *q) {
  for (int i = 0; i < q->ready_count; i++)
    replica_shared_unref(q->ready[i]);
  free(q->ready);
  q->ready = NULL;
  q->ready_count = 0;
}

struct hold_queue *hold_queue_free(struct hold_queue *q) {
  if (!q)
    return NULL;
  assert(q->count == 0);
  ready_forget(q);
  map_clear(&q->lanes);
  pthread_mutex_destroy(&q->lock);
  free(q);
  return NULL;
}

static struct slice lane_key(const unsigned char *key) {
  return slice_of((const char *)key, HOLD_KEY_BYTES);
}

static struct hold_lane *lane_for(struct hold_queue *q, const unsigned char *key) {
  struct hold_lane *lane = map_get(&q->lanes, lane_key(key));
  if (lane)
    return lane;
  lane = malloc(sizeof *lane);
  if (!lane)
    return NULL;
  memcpy(lane->key, key, HOLD_KEY_BYTES);
  list_init(&lane->waiters);
  if (map_put(&q->lanes, lane_key(lane->key), lane)) {
    free(lane);
    return NULL;
  }
  list_push_back(&q->turns, &lane->node);
  return lane;
}

/* A waiter that comes back with its old ticket goes in front of younger ones. */
static void lane_insert(struct hold_lane *lane, struct hold_waiter *w) {
  struct list *after = lane->waiters.prev;
  while (after != &lane->waiters &&
         container_of(after, struct hold_waiter, node)->ticket > w->ticket)
    after = after->prev;
  list_insert_after(after, &w->node);
  w->lane = lane;
}

static void waiter_take_out(struct hold_queue *q, struct hold_waiter *w) {
  struct hold_lane *lane = w->lane;
  list_remove(&w->node);
  w->lane = NULL;
  atomic_fetch_sub(&q->count, 1);
  if (!list_empty(&lane->waiters))
    return;
  list_remove(&lane->node);
  map_remove(&q->lanes, lane_key(lane->key));
  free(lane);
}

static bool place_at(struct replica_shared *r, struct replica_shared **place) {
  if (r->concurrency_max == 0) {
    *place = NULL;
    return true;
  }
  if (!replica_shared_reserve(r))
    return false;
  *place = replica_shared_ref(r);
  return true;
}

/* At one whose trial is due. */
static bool place_on_trial(struct hold_queue *q, struct replica_shared **place) {
  for (int i = 0; i < q->ready_count; i++) {
    struct replica_shared *r = q->ready[i];
    if (r->concurrency_max && outlier_ejected(r) && outlier_admits(r, clock_mono()))
      return place_at(r, place);
  }
  return false;
}

/* Ejected ones are passed over, unless all are. */
static bool all_ejected(const struct hold_queue *q) {
  for (int i = 0; i < q->ready_count; i++)
    if (!outlier_ejected(q->ready[i]))
      return false;
  return true;
}

/* The replica with the most room left takes the next one; false when all are full. */
static bool place_take(struct hold_queue *q, struct replica_shared **place) {
  if (place_on_trial(q, place))
    return true;
  bool all = all_ejected(q);
  for (int tried = 0; tried < q->ready_count; tried++) {
    struct replica_shared *best = NULL;
    int64_t most = 0;
    for (int i = 0; i < q->ready_count; i++) {
      struct replica_shared *r = q->ready[(q->next_ready + i) % q->ready_count];
      int64_t left = all || !outlier_ejected(r) ? replica_shared_left(r) : -1;
      if (!best || left > most) {
        best = r;
        most = left;
      }
    }
    q->next_ready++;
    if (most > 0 && place_at(best, place))
      return true;
  }
  return false;
}

/* The oldest of the lane whose turn it is; the lane then goes to the end. */
static struct hold_waiter *turn_next(struct hold_queue *q) {
  struct hold_lane *lane = container_of(q->turns.next, struct hold_lane, node);
  list_remove(&lane->node);
  list_push_back(&q->turns, &lane->node);
  return container_of(lane->waiters.next, struct hold_waiter, node);
}

static void grant_all(struct hold_queue *q) {
  struct replica_shared *place;
  while (!list_empty(&q->turns) && place_take(q, &place)) {
    struct hold_waiter *w = turn_next(q);
    waiter_take_out(q, w);
    w->state = HOLD_GRANTED;
    w->place = place;
    loop_send(w->loop, &w->grant);
  }
}

enum err hold_queue_join(struct hold_queue *q, struct hold_waiter *w, size_t max) {
  enum err e = OK;
  pthread_mutex_lock(&q->lock);
  struct hold_lane *lane = NULL;
  if (max && q->count >= max)
    e = ERR_LIMIT;
  else if (!(lane = lane_for(q, w->key)))
    e = ERR_MEMORY;
  if (!e) {
    if (w->ticket == 0)
      w->ticket = ++q->last_ticket;
    w->place = NULL;
    w->state = HOLD_QUEUED;
    lane_insert(lane, w);
    /* Counted before room is looked for, as a release looks for waiters after it
     * has made room: one of the two sees the other. */
    atomic_fetch_add(&q->count, 1);
    grant_all(q);
  }
  pthread_mutex_unlock(&q->lock);
  return e;
}

bool hold_queue_leave(struct hold_queue *q, struct hold_waiter *w) {
  pthread_mutex_lock(&q->lock);
  bool out = w->state != HOLD_GRANTED;
  if (w->state == HOLD_QUEUED)
    waiter_take_out(q, w);
  if (out)
    w->state = HOLD_OUT;
  pthread_mutex_unlock(&q->lock);
  return out;
}

size_t hold_queue_count(const struct hold_queue *q) {
  return atomic_load(&q->count);
}

enum err hold_queue_set_ready(struct hold_queue *q, struct replica_shared **ready, int count) {
  struct replica_shared **copy = NULL;
  if (count) {
    copy = calloc((size_t)count, sizeof(*copy));
    if (!copy)
      return ERR_MEMORY;
  }
  for (int i = 0; i < count; i++)
    copy[i] = replica_shared_ref(ready[i]);
  pthread_mutex_lock(&q->lock);
  ready_forget(q);
  q->ready = copy;
  q->ready_count = count;
  grant_all(q);
  pthread_mutex_unlock(&q->lock);
  return OK;
}

void hold_queue_look(struct hold_queue *q) {
  if (!hold_queue_count(q))
    return;
  pthread_mutex_lock(&q->lock);
  grant_all(q);
  pthread_mutex_unlock(&q->lock);
}

void hold_queue_release(struct hold_queue *q, struct replica_shared *place) {
  if (!place)
    return;
  replica_shared_release(place);
  hold_queue_look(q);
  replica_shared_unref(place);
}

bool hold_queue_pass(struct hold_queue *q, struct replica_shared *preferred) {
  return hold_queue_count(q) == 0 && replica_shared_reserve(preferred);
}

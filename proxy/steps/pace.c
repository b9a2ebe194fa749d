#include "proxy/steps/pace.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/map.h"

enum { PACE_SETS = 1 << 14, PACE_WAYS = 4 };

struct pace_entry {
  uint64_t key;
  usec_t at; /* of the last 503; 0: free */
};

struct pace {
  pthread_mutex_t lock;
  usec_t window_us;
  int64_t waiting_max;
  _Atomic int64_t waiting;
  struct pace_entry entries[PACE_SETS][PACE_WAYS];
};

struct pace *pace_new(usec_t window_us, int64_t waiting_max) {
  struct pace *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  pthread_mutex_init(&p->lock, NULL);
  p->window_us = window_us;
  p->waiting_max = waiting_max;
  return p;
}

struct pace *pace_free(struct pace *p) {
  if (p)
    pthread_mutex_destroy(&p->lock);
  free(p);
  return NULL;
}

/* The entry of this key, else the one of its set that is oldest. */
static struct pace_entry *entry_of(struct pace *p, uint64_t key) {
  struct pace_entry *set = p->entries[key % PACE_SETS], *oldest = set;
  for (int i = 0; i < PACE_WAYS; i++) {
    if (set[i].key == key && set[i].at)
      return &set[i];
    if (set[i].at < oldest->at)
      oldest = &set[i];
  }
  return oldest;
}

bool pace_repeats(struct pace *p, const unsigned char *key, size_t key_bytes, usec_t now) {
  uint64_t hash = map_hash(slice_of((const char *)key, key_bytes));
  pthread_mutex_lock(&p->lock);
  struct pace_entry *e = entry_of(p, hash);
  bool repeats = e->key == hash && e->at && now - e->at < p->window_us;
  *e = (struct pace_entry){hash, now};
  pthread_mutex_unlock(&p->lock);
  return repeats;
}

bool pace_wait_begin(struct pace *p) {
  if (atomic_fetch_add(&p->waiting, 1) < p->waiting_max)
    return true;
  atomic_fetch_sub(&p->waiting, 1);
  return false;
}

void pace_wait_end(struct pace *p) {
  atomic_fetch_sub(&p->waiting, 1);
}

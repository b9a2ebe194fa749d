#include "proxy/steps/failures.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/base/allowance.h"
#include "lib/base/map.h"

struct failures_entry {
  uint64_t key;
  struct allowance left;
};

struct failures {
  pthread_mutex_t lock;
  struct failures_entry entries[FAILURES_SETS][FAILURES_WAYS];
};

struct failures *failures_new(void) {
  struct failures *f = calloc(1, sizeof *f);
  if (f)
    pthread_mutex_init(&f->lock, NULL);
  return f;
}

struct failures *failures_free(struct failures *f) {
  if (f)
    pthread_mutex_destroy(&f->lock);
  free(f);
  return NULL;
}

/* The entry of this key, else that of its set which will be full first. */
static struct failures_entry *failures_entry_of(struct failures *f, uint64_t key) {
  struct failures_entry *set = f->entries[key % FAILURES_SETS], *fullest = set;
  for (int i = 0; i < FAILURES_WAYS; i++) {
    if (set[i].key == key)
      return &set[i];
    if (set[i].left.full_at < fullest->left.full_at)
      fullest = &set[i];
  }
  *fullest = (struct failures_entry){.key = key};
  return fullest;
}

usec_t failures_note(struct failures *f, const unsigned char *key, size_t key_bytes, usec_t now,
                     int64_t burst, int64_t per_s) {
  uint64_t hash = map_hash(slice_of((const char *)key, key_bytes));
  pthread_mutex_lock(&f->lock);
  usec_t wait = allowance_draw(&failures_entry_of(f, hash)->left, now, burst, per_s);
  pthread_mutex_unlock(&f->lock);
  return wait;
}

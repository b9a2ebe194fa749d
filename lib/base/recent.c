#include "lib/base/recent.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/base/map.h"

struct recent_entry {
  uint64_t key;
  int64_t number;
};

struct recent {
  pthread_mutex_t lock;
  size_t sets;
  struct recent_entry entries[];
};

struct recent *recent_new(size_t sets) {
  struct recent *t = calloc(1, sizeof *t + sets * RECENT_WAYS * sizeof *t->entries);
  if (!t)
    return NULL;
  pthread_mutex_init(&t->lock, NULL);
  t->sets = sets;
  return t;
}

struct recent *recent_free(struct recent *t) {
  if (t)
    pthread_mutex_destroy(&t->lock);
  free(t);
  return NULL;
}

int64_t *recent_lock(struct recent *t, struct slice key) {
  uint64_t hash = map_hash(key);
  struct recent_entry *set = &t->entries[hash % t->sets * RECENT_WAYS], *least = set;
  pthread_mutex_lock(&t->lock);
  for (int i = 0; i < RECENT_WAYS; i++) {
    if (set[i].key == hash)
      return &set[i].number;
    if (set[i].number < least->number)
      least = &set[i];
  }
  *least = (struct recent_entry){.key = hash};
  return &least->number;
}

void recent_unlock(struct recent *t) {
  pthread_mutex_unlock(&t->lock);
}

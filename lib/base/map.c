#include "lib/base/map.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

enum { MAP_MIN_CAPACITY = 16 };

static uint64_t seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_make(void) {
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
    seed = 0x9e3779b97f4a7c15ULL;
}

static uint64_t mix(uint64_t a, uint64_t b) {
  __uint128_t wide = (__uint128_t)a * b;
  return (uint64_t)wide ^ (uint64_t)(wide >> 64);
}

/* Multiply and fold, eight bytes a step. */
uint64_t map_hash(struct slice key) {
  pthread_once(&seed_once, seed_make);
  uint64_t h = seed ^ key.len;
  const char *p = key.data;
  size_t left = key.len;
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    h = mix(h ^ word, 0xa0761d6478bd642fULL);
  }
  uint64_t word = 0;
  if (left)
    memcpy(&word, p, left);
  return mix(h ^ word, 0xe7037ed1a0b428dbULL);
}

void map_init(struct map *m, size_t max_entries) {
  *m = (struct map){.max_entries = max_entries};
}

void map_clear(struct map *m) {
  free(m->entries);
  map_init(m, m->max_entries);
}

/* The key's place, or the free place where it would go. */
static size_t map_find(const struct map *m, struct slice key, uint64_t hash) {
  size_t at = hash & (m->capacity - 1);
  while (m->entries[at].key.data &&
         (m->entries[at].hash != hash || !slice_equal(m->entries[at].key, key)))
    at = (at + 1) & (m->capacity - 1);
  return at;
}

void *map_get(const struct map *m, struct slice key) {
  if (m->count == 0)
    return NULL;
  return m->entries[map_find(m, key, map_hash(key))].value;
}

static enum err map_grow(struct map *m) {
  struct map_entry *old = m->entries;
  size_t old_capacity = m->capacity;
  size_t capacity = old_capacity ? old_capacity * 2 : MAP_MIN_CAPACITY;
  struct map_entry *entries = calloc(capacity, sizeof *entries);
  if (!entries)
    return ERR_MEMORY;
  m->entries = entries;
  m->capacity = capacity;
  for (size_t i = 0; i < old_capacity; i++)
    if (old[i].key.data)
      m->entries[map_find(m, old[i].key, old[i].hash)] = old[i];
  free(old);
  return OK;
}

enum err map_put(struct map *m, struct slice key, void *value) {
  uint64_t hash = map_hash(key);
  if (m->count * 2 >= m->capacity) {
    enum err e = map_grow(m);
    if (e)
      return e;
  }
  struct map_entry *entry = &m->entries[map_find(m, key, hash)];
  if (!entry->key.data) {
    if (m->count >= m->max_entries)
      return ERR_LIMIT;
    m->count++;
  }
  *entry = (struct map_entry){key.data ? key : SLICE(""), value, hash};
  return OK;
}

/* Entries behind the gap move up, so that no search ends too early. */
static void map_close_gap(struct map *m, size_t gap) {
  size_t mask = m->capacity - 1;
  for (size_t at = (gap + 1) & mask; m->entries[at].key.data; at = (at + 1) & mask) {
    size_t home = m->entries[at].hash & mask;
    if (((at - home) & mask) >= ((at - gap) & mask)) {
      m->entries[gap] = m->entries[at];
      gap = at;
    }
  }
  m->entries[gap] = (struct map_entry){0};
}

void *map_remove(struct map *m, struct slice key) {
  if (m->count == 0)
    return NULL;
  size_t at = map_find(m, key, map_hash(key));
  void *value = m->entries[at].value;
  if (!m->entries[at].key.data)
    return NULL;
  m->count--;
  map_close_gap(m, at);
  return value;
}

void *map_next(const struct map *m, size_t *at) {
  while (*at < m->capacity) {
    const struct map_entry *entry = &m->entries[(*at)++];
    if (entry->key.data)
      return entry->value;
  }
  return NULL;
}

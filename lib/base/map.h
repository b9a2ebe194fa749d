/* A hash map from byte strings to pointers.  Keys are borrowed: they must live
 * in the value (or as long as it does).  Open addressing, grows by doubling up
 * to max_entries.  One thread, or immutable after it was built. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct map_entry {
  struct slice key; /* .data is NULL when the place is free */
  void *value;
  uint64_t hash;
};

struct map {
  struct map_entry *entries;
  size_t capacity, count, max_entries;
};

void map_init(struct map *m, size_t max_entries);
/* Frees the table, not the values. */
void map_clear(struct map *m);
void *map_get(const struct map *m, struct slice key);
/* Replaces the value (and the key's storage) when the key is there. */
enum err map_put(struct map *m, struct slice key, void *value) MUST_CHECK;
/* Returns the value that was there, or NULL. */
void *map_remove(struct map *m, struct slice key);
/* Iteration in no order: start with *at = 0; NULL at the end.  The map must not
 * change meanwhile. */
void *map_next(const struct map *m, size_t *at);

/* Seeded once per process, so that clients cannot choose colliding keys. */
uint64_t map_hash(struct slice key);

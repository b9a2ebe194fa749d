#include "lib/base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/pool.h"
#include "lib/base/wipe.h"

enum { ARENA_ALIGN = 16 };

struct arena_block {
  struct arena_block *older;
  int from_heap;
  _Alignas(ARENA_ALIGN) char bytes[];
};

void arena_init(struct arena *a, struct pool *blocks, size_t limit_bytes) {
  *a = (struct arena){.blocks = blocks, .limit_bytes = limit_bytes};
}

void arena_reset(struct arena *a) {
  while (a->newest) {
    struct arena_block *older = a->newest->older;
    if (a->newest->from_heap) {
      wipe_free(a->newest);
    } else {
      wipe(a->newest->bytes, a->used);
      pool_put(a->blocks, a->newest);
    }
    a->newest = older;
    a->used = pool_size(a->blocks) - sizeof *older; /* of older ones nobody knows how much */
  }
  a->used = a->room = a->total = 0;
}

/* A block of its own goes behind the newest, whose room stays in use. */
static void *arena_alloc_large(struct arena *a, size_t size) {
  struct arena_block *b = malloc(sizeof *b + size);
  if (!b)
    return NULL;
  b->from_heap = 1;
  b->older = a->newest ? a->newest->older : NULL;
  if (a->newest) {
    a->newest->older = b;
  } else {
    a->newest = b;
    a->used = a->room = size;
  }
  return b->bytes;
}

static void *arena_alloc_fresh(struct arena *a, size_t size) {
  struct arena_block *b = pool_get(a->blocks);
  if (!b)
    return NULL;
  b->from_heap = 0;
  b->older = a->newest;
  a->newest = b;
  a->room = pool_size(a->blocks) - sizeof *b;
  a->used = size;
  return b->bytes;
}

void *arena_alloc(struct arena *a, size_t size) {
  if (size > a->limit_bytes)
    return NULL;
  size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
  if (size > a->limit_bytes - a->total || a->limit_bytes < a->total)
    return NULL;
  void *p;
  if (size <= a->room - a->used) {
    p = a->newest ? a->newest->bytes + a->used : NULL;
    a->used += size;
  } else if (size > pool_size(a->blocks) - sizeof(struct arena_block)) {
    p = arena_alloc_large(a, size);
  } else {
    p = arena_alloc_fresh(a, size);
  }
  if (p)
    a->total += size;
  return p;
}

struct slice arena_copy(struct arena *a, struct slice s) {
  char *p = arena_alloc(a, s.len + 1);
  if (!p)
    return SLICE_NONE;
  if (s.len)
    memcpy(p, s.data, s.len);
  p[s.len] = '\0';
  return slice_of(p, s.len);
}

/* Memory that lives as long as one request: many small allocations, one release.
 * Blocks come from a pool and return to it; an allocation larger than a block
 * is a block of its own from the heap.  The total is bounded.
 *
 * One owner, one thread.  Memory is aligned to 16 bytes and not zeroed. */
#pragma once

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct pool;
struct arena_block;

struct arena {
  struct pool *blocks;        /* where blocks of pool_size(blocks) bytes come from */
  struct arena_block *newest; /* the block being filled; older ones are chained */
  size_t used, room;          /* bytes taken from and available in the newest block */
  size_t total, limit_bytes;  /* taken in all, and the most that may be */
};

void arena_init(struct arena *a, struct pool *blocks, size_t limit_bytes);
/* Gives everything back, zeroed; the arena is ready for use again. */
void arena_reset(struct arena *a);
/* NULL when the limit or the heap is exhausted. */
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK;
/* A copy with a NUL behind it, for those who need one; .data is NULL on failure. */
struct slice arena_copy(struct arena *a, struct slice s) MUST_CHECK;

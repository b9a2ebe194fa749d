/* Objects of one size, recycled.  Freed objects wait in a list up to keep_max
 * of them; more go back to the heap.  Not zeroed on reuse.  One thread. */
#pragma once

#include <stddef.h>

#include "lib/base/err.h"

struct pool;

/* live_max bounds how many objects may exist at once (0: no bound here). */
struct pool *pool_new(size_t object_size, size_t keep_max, size_t live_max) MUST_CHECK;
/* Every object must have come back.  Accepts NULL; returns NULL. */
struct pool *pool_free(struct pool *p);
/* NULL when live_max or the heap is exhausted. */
void *pool_get(struct pool *p) MUST_CHECK;
void pool_put(struct pool *p, void *object);
/* Another bound from now on; who is there stays. */
void pool_limit(struct pool *p, size_t live_max);
size_t pool_size(const struct pool *p);
/* Objects handed out and not yet given back. */
size_t pool_live(const struct pool *p);

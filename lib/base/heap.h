/* Deadlines in order: an intrusive binary heap.  A node is in at most one heap;
 * its place is kept in the node, so that removing needs no search. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

struct heap_node {
  usec_t at;
  size_t place; /* 1-based; 0 when in no heap */
};

struct heap {
  struct heap_node **nodes;
  size_t count, capacity;
};

void heap_clear(struct heap *h);
/* Inserts, or moves when it is in the heap already. */
enum err heap_set(struct heap *h, struct heap_node *n, usec_t at) MUST_CHECK;
void heap_remove(struct heap *h, struct heap_node *n);
/* The earliest, still in the heap; NULL when empty. */
static inline struct heap_node *heap_first(const struct heap *h) {
  return h->count ? h->nodes[0] : NULL;
}
static inline bool heap_has(const struct heap_node *n) {
  return n->place != 0;
}

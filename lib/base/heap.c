#include "lib/base/heap.h"

#include <stdlib.h>

enum { HEAP_MIN_CAPACITY = 64 };

static void heap_place(struct heap *h, struct heap_node *n, size_t i) {
  h->nodes[i] = n;
  n->place = i + 1;
}

static void heap_up(struct heap *h, struct heap_node *n, size_t i) {
  while (i > 0 && h->nodes[(i - 1) / 2]->at > n->at) {
    heap_place(h, h->nodes[(i - 1) / 2], i);
    i = (i - 1) / 2;
  }
  heap_place(h, n, i);
}

static void heap_down(struct heap *h, struct heap_node *n, size_t i) {
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= h->count)
      break;
    if (child + 1 < h->count && h->nodes[child + 1]->at < h->nodes[child]->at)
      child++;
    if (h->nodes[child]->at >= n->at)
      break;
    heap_place(h, h->nodes[child], i);
    i = child;
  }
  heap_place(h, n, i);
}

static enum err heap_reserve(struct heap *h) {
  if (h->count < h->capacity)
    return OK;
  size_t capacity = h->capacity ? h->capacity * 2 : HEAP_MIN_CAPACITY;
  struct heap_node **nodes = realloc(h->nodes, capacity * sizeof(*nodes));
  if (!nodes)
    return ERR_MEMORY;
  h->nodes = nodes;
  h->capacity = capacity;
  return OK;
}

void heap_clear(struct heap *h) {
  for (size_t i = 0; i < h->count; i++)
    h->nodes[i]->place = 0;
  free(h->nodes);
  *h = (struct heap){0};
}

enum err heap_set(struct heap *h, struct heap_node *n, usec_t at) {
  if (heap_has(n)) {
    usec_t before = n->at;
    n->at = at;
    if (at < before)
      heap_up(h, n, n->place - 1);
    else
      heap_down(h, n, n->place - 1);
    return OK;
  }
  enum err e = heap_reserve(h);
  if (e)
    return e;
  n->at = at;
  heap_up(h, n, h->count++);
  return OK;
}

void heap_remove(struct heap *h, struct heap_node *n) {
  if (!heap_has(n))
    return;
  size_t i = n->place - 1;
  struct heap_node *last = h->nodes[--h->count];
  n->place = 0;
  if (last == n)
    return;
  if (i > 0 && h->nodes[(i - 1) / 2]->at > last->at)
    heap_up(h, last, i);
  else
    heap_down(h, last, i);
}

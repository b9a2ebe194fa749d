#include "lib/base/pool.h"

#include <stdlib.h>

struct spare {
  struct spare *next;
};

struct pool {
  size_t object_size, keep_max, live_max;
  size_t live, kept;
  struct spare *spares;
};

struct pool *pool_new(size_t object_size, size_t keep_max, size_t live_max) {
  struct pool *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  p->object_size = object_size < sizeof(struct spare) ? sizeof(struct spare) : object_size;
  p->keep_max = keep_max;
  p->live_max = live_max;
  return p;
}

struct pool *pool_free(struct pool *p) {
  while (p && p->spares) {
    struct spare *s = p->spares;
    p->spares = s->next;
    free(s);
  }
  free(p);
  return NULL;
}

void *pool_get(struct pool *p) {
  if (p->live_max && p->live >= p->live_max)
    return NULL;
  void *object = p->spares;
  if (object) {
    p->spares = p->spares->next;
    p->kept--;
  } else {
    object = malloc(p->object_size);
  }
  if (object)
    p->live++;
  return object;
}

void pool_put(struct pool *p, void *object) {
  if (!object)
    return;
  p->live--;
  if (p->kept >= p->keep_max) {
    free(object);
    return;
  }
  struct spare *s = object;
  s->next = p->spares;
  p->spares = s;
  p->kept++;
}

void pool_limit(struct pool *p, size_t live_max) {
  p->live_max = live_max;
}

size_t pool_size(const struct pool *p) {
  return p->object_size;
}

size_t pool_live(const struct pool *p) {
  return p->live;
}

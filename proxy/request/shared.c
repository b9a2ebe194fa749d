#include "proxy/request/shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A cell shares no cache line with another thread's. */
_Static_assert(sizeof(struct endpoint_cell) % CELL_ALIGN == 0, "cells fill whole lines");
_Static_assert(sizeof(struct replica_cell) % CELL_ALIGN == 0, "cells fill whole lines");
_Static_assert(sizeof(struct worker_cell) % CELL_ALIGN == 0, "cells fill whole lines");
_Static_assert(offsetof(struct replica_shared, reserved) % CELL_ALIGN == 0, "a line of its own");

static void *cells_new(size_t head, size_t cell, int workers) {
  size_t size = head + cell * (size_t)workers;
  size = (size + CELL_ALIGN - 1) / CELL_ALIGN * CELL_ALIGN;
  void *p = aligned_alloc(CELL_ALIGN, size);
  return p ? memset(p, 0, size) : NULL;
}

struct replica_shared *replica_shared_new(const char *id, int64_t concurrency_max, int workers) {
  struct replica_shared *s = cells_new(sizeof *s, sizeof s->cells[0], workers);
  if (!s)
    return NULL;
  snprintf(s->id, sizeof s->id, "%s", id);
  atomic_store(&s->concurrency_max, concurrency_max);
  atomic_store(&s->room, concurrency_max);
  s->refs = 1;
  return s;
}

void replica_shared_limit(struct replica_shared *s, int64_t concurrency_max) {
  atomic_store(&s->room, 0);
  atomic_store(&s->concurrency_max, concurrency_max);
}

struct replica_shared *replica_shared_ref(struct replica_shared *s) {
  atomic_fetch_add(&s->refs, 1);
  return s;
}

struct replica_shared *replica_shared_unref(struct replica_shared *s) {
  if (s && atomic_fetch_sub(&s->refs, 1) == 1)
    free(s);
  return NULL;
}

bool replica_shared_reserve(struct replica_shared *s) {
  int64_t taken = atomic_load(&s->reserved);
  while (atomic_load(&s->concurrency_max) == 0 || taken < atomic_load(&s->room))
    if (atomic_compare_exchange_weak(&s->reserved, &taken, taken + 1))
      return true;
  return false;
}

void replica_shared_release(struct replica_shared *s) {
  atomic_fetch_sub(&s->reserved, 1);
}

int64_t replica_shared_left(struct replica_shared *s) {
  return s->concurrency_max ? atomic_load(&s->room) - atomic_load(&s->reserved) : INT64_MAX;
}

struct endpoint_shared *endpoint_shared_new(const char *name, int workers) {
  struct endpoint_shared *s = cells_new(sizeof *s, sizeof s->cells[0], workers);
  if (!s)
    return NULL;
  snprintf(s->name, sizeof s->name, "%s", name);
  s->refs = 1;
  s->hold = hold_queue_new();
  if (!s->hold) {
    free(s);
    return NULL;
  }
  return s;
}

struct endpoint_shared *endpoint_shared_ref(struct endpoint_shared *s) {
  atomic_fetch_add(&s->refs, 1);
  return s;
}

struct endpoint_shared *endpoint_shared_unref(struct endpoint_shared *s) {
  if (s && atomic_fetch_sub(&s->refs, 1) == 1) {
    hold_queue_free(s->hold);
    free(s);
  }
  return NULL;
}

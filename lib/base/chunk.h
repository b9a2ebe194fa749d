/* A queue of bytes in pooled chunks: what could not be passed on at once.
 * An empty queue owns no chunk.  Whether a queue is full is its owner's limit
 * to state; the pool bounds all of them together. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct pool;
struct chunk;

struct chunkq {
  struct chunk *head, *tail;
  size_t len; /* bytes queued */
};

/* What a pool for chunks must be created with. */
enum { CHUNK_OBJECT_BYTES = 4096 };

static inline bool chunkq_empty(const struct chunkq *q) {
  return q->len == 0;
}

/* Copies all of `bytes` to the end, or nothing: ERR_MEMORY when the pool is
 * exhausted. */
enum err chunkq_append(struct chunkq *q, struct pool *chunks, struct slice bytes) MUST_CHECK;
/* The first contiguous run of bytes (empty when the queue is). */
struct slice chunkq_peek(const struct chunkq *q);
/* Fills up to `max` vectors from the front; returns how many. */
int chunkq_iov(const struct chunkq *q, struct iovec *iov, int max);
/* Drops n bytes (n <= len) from the front; emptied chunks return to the pool. */
void chunkq_drop(struct chunkq *q, struct pool *chunks, size_t n);
/* Moves up to n bytes from the front into `to`; returns how many. */
size_t chunkq_take(struct chunkq *q, struct pool *chunks, char *to, size_t n);
void chunkq_clear(struct chunkq *q, struct pool *chunks);

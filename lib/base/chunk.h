/* A queue of bytes in pooled chunks: what could not be passed on at once.
 * An empty queue owns no chunk.  Whether a queue is full is its owner's limit
 * to state; the store bounds all of them together. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct chunk;
struct chunks;

struct chunkq {
  struct chunk *head, *tail;
  size_t len; /* bytes queued */
};

/* Two sizes, so that one event or a short request body that waits costs little. */
enum { CHUNK_SMALL_BYTES = 1280, CHUNK_LARGE_BYTES = 4096 };

/* Where one thread's chunks come from. bytes_max bounds all that are in use (0: no bound);
 * up to keep_max freed ones of each size are kept for the next. NULL: no memory. */
struct chunks *chunks_new(size_t bytes_max, size_t keep_max) MUST_CHECK;
/* Every chunk must have come back. Accepts NULL; returns NULL. */
struct chunks *chunks_free(struct chunks *s);

static inline bool chunkq_empty(const struct chunkq *q) {
  return q->len == 0;
}

/* Bytes of chunks in use. */
size_t chunks_live(const struct chunks *s);

/* Copies all of `bytes` to the end, or nothing: ERR_MEMORY when the store is
 * exhausted. */
enum err chunkq_append(struct chunkq *q, struct chunks *chunks, struct slice bytes) MUST_CHECK;
/* The first contiguous run of bytes (empty when the queue is). */
struct slice chunkq_peek(const struct chunkq *q);
/* Fills up to `max` vectors from the front; returns how many. */
int chunkq_iov(const struct chunkq *q, struct iovec *iov, int max);
/* Drops n bytes (n <= len) from the front; emptied chunks return to the store. */
void chunkq_drop(struct chunkq *q, struct chunks *chunks, size_t n);
/* Moves up to n bytes from the front into `to`; returns how many. */
size_t chunkq_take(struct chunkq *q, struct chunks *chunks, char *to, size_t n);
void chunkq_clear(struct chunkq *q, struct chunks *chunks);

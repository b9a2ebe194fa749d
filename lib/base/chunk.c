#include "lib/base/chunk.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/pool.h"

struct chunk {
  struct chunk *next;
  uint32_t start, end; /* the bytes in use */
  char bytes[];
};

enum { CHUNK_ROOM = CHUNK_OBJECT_BYTES - sizeof(struct chunk) };

static size_t chunk_len(const struct chunk *c) {
  return c->end - c->start;
}

static struct chunk *chunk_new(struct pool *chunks) {
  assert(pool_size(chunks) >= CHUNK_OBJECT_BYTES);
  struct chunk *c = pool_get(chunks);
  if (c) {
    c->next = NULL;
    c->start = c->end = 0;
  }
  return c;
}

static struct chunk *chunks_release(struct chunk *c, struct pool *chunks) {
  while (c) {
    struct chunk *next = c->next;
    pool_put(chunks, c);
    c = next;
  }
  return NULL;
}

static struct slice chunk_fill(struct chunk *c, struct slice bytes) {
  size_t n = CHUNK_ROOM - c->end;
  if (n > bytes.len)
    n = bytes.len;
  memcpy(c->bytes + c->end, bytes.data, n);
  c->end += (uint32_t)n;
  return slice_skip(bytes, n);
}

/* Every chunk that is needed is taken before a byte is copied, so that a failed
 * append leaves the queue as it was. */
enum err chunkq_append(struct chunkq *q, struct pool *chunks, struct slice bytes) {
  if (bytes.len == 0)
    return OK;
  size_t room = q->tail ? CHUNK_ROOM - q->tail->end : 0;
  struct chunk *fresh = NULL, **end = &fresh;
  for (size_t have = room; have < bytes.len; have += CHUNK_ROOM) {
    *end = chunk_new(chunks);
    if (!*end) {
      chunks_release(fresh, chunks);
      return ERR_MEMORY;
    }
    end = &(*end)->next;
  }
  q->len += bytes.len;
  if (q->tail) {
    bytes = chunk_fill(q->tail, bytes);
    q->tail->next = fresh;
  } else {
    q->head = fresh;
  }
  for (struct chunk *c = fresh; c; c = c->next) {
    bytes = chunk_fill(c, bytes);
    q->tail = c;
  }
  return OK;
}

struct slice chunkq_peek(const struct chunkq *q) {
  if (!q->head)
    return SLICE_NONE;
  return slice_of(q->head->bytes + q->head->start, chunk_len(q->head));
}

int chunkq_iov(const struct chunkq *q, struct iovec *iov, int max) {
  int n = 0;
  for (struct chunk *c = q->head; c && n < max; c = c->next, n++)
    iov[n] = (struct iovec){c->bytes + c->start, chunk_len(c)};
  return n;
}

void chunkq_drop(struct chunkq *q, struct pool *chunks, size_t n) {
  assert(n <= q->len);
  q->len -= n;
  while (q->head && n >= chunk_len(q->head)) {
    struct chunk *first = q->head;
    n -= chunk_len(first);
    q->head = first->next;
    pool_put(chunks, first);
  }
  if (q->head)
    q->head->start += (uint32_t)n;
  else
    q->tail = NULL;
}

size_t chunkq_take(struct chunkq *q, struct pool *chunks, char *to, size_t n) {
  size_t taken = 0;
  while (taken < n && q->len) {
    struct slice run = chunkq_peek(q);
    size_t part = run.len < n - taken ? run.len : n - taken;
    memcpy(to + taken, run.data, part);
    chunkq_drop(q, chunks, part);
    taken += part;
  }
  return taken;
}

void chunkq_clear(struct chunkq *q, struct pool *chunks) {
  chunks_release(q->head, chunks);
  *q = (struct chunkq){0};
}

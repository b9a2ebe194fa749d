#include "lib/base/chunk.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/pool.h"

struct chunk {
  struct chunk *next;
  uint32_t start, end; /* the bytes in use */
  uint32_t room;
  bool small;
  char bytes[];
};

enum {
  SMALL_ROOM = CHUNK_SMALL_BYTES - sizeof(struct chunk),
  LARGE_ROOM = CHUNK_LARGE_BYTES - sizeof(struct chunk),
};

struct chunks {
  struct pool *small, *large;
  size_t bytes, bytes_max;
};

struct chunks *chunks_new(size_t bytes_max, size_t keep_max) {
  struct chunks *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  s->bytes_max = bytes_max;
  s->small = pool_new(CHUNK_SMALL_BYTES, keep_max, 0);
  s->large = pool_new(CHUNK_LARGE_BYTES, keep_max, 0);
  return s->small && s->large ? s : chunks_free(s);
}

struct chunks *chunks_free(struct chunks *s) {
  if (!s)
    return NULL;
  pool_free(s->small);
  pool_free(s->large);
  free(s);
  return NULL;
}

size_t chunks_live(const struct chunks *s) {
  return s->bytes;
}

static size_t chunk_len(const struct chunk *c) {
  return c->end - c->start;
}

static size_t chunk_bytes(bool small) {
  return small ? CHUNK_SMALL_BYTES : CHUNK_LARGE_BYTES;
}

/* A small one when that is enough. */
static struct chunk *chunk_new(struct chunks *s, size_t need) {
  bool small = need <= SMALL_ROOM;
  if (s->bytes_max && s->bytes + chunk_bytes(small) > s->bytes_max)
    return NULL;
  struct chunk *c = pool_get(small ? s->small : s->large);
  if (!c)
    return NULL;
  s->bytes += chunk_bytes(small);
  c->next = NULL;
  c->start = c->end = 0;
  c->room = small ? SMALL_ROOM : LARGE_ROOM;
  c->small = small;
  return c;
}

static void chunk_free(struct chunk *c, struct chunks *s) {
  s->bytes -= chunk_bytes(c->small);
  pool_put(c->small ? s->small : s->large, c);
}

static struct chunk *chunks_release(struct chunk *c, struct chunks *chunks) {
  while (c) {
    struct chunk *next = c->next;
    chunk_free(c, chunks);
    c = next;
  }
  return NULL;
}

static struct slice chunk_fill(struct chunk *c, struct slice bytes) {
  size_t n = c->room - c->end;
  if (n > bytes.len)
    n = bytes.len;
  memcpy(c->bytes + c->end, bytes.data, n);
  c->end += (uint32_t)n;
  return slice_skip(bytes, n);
}

/* Every chunk that is needed is taken before a byte is copied, so that a failed
 * append leaves the queue as it was. */
enum err chunkq_append(struct chunkq *q, struct chunks *chunks, struct slice bytes) {
  if (bytes.len == 0)
    return OK;
  size_t have = q->tail ? q->tail->room - q->tail->end : 0;
  struct chunk *fresh = NULL, **end = &fresh;
  while (have < bytes.len) {
    *end = chunk_new(chunks, bytes.len - have);
    if (!*end) {
      chunks_release(fresh, chunks);
      return ERR_MEMORY;
    }
    have += (*end)->room;
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

void chunkq_drop(struct chunkq *q, struct chunks *chunks, size_t n) {
  assert(n <= q->len);
  q->len -= n;
  while (q->head && n >= chunk_len(q->head)) {
    struct chunk *first = q->head;
    n -= chunk_len(first);
    q->head = first->next;
    chunk_free(first, chunks);
  }
  if (q->head)
    q->head->start += (uint32_t)n;
  else
    q->tail = NULL;
}

size_t chunkq_take(struct chunkq *q, struct chunks *chunks, char *to, size_t n) {
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

void chunkq_clear(struct chunkq *q, struct chunks *chunks) {
  chunks_release(q->head, chunks);
  *q = (struct chunkq){0};
}

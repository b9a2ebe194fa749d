/* Bytes that were read and cannot be used yet: the beginning of a head, or what came before its
 * turn. In one piece, since parsers look at whole heads. Bounded by limit_bytes; an empty one that
 * never had anything in it owns no memory. What is dropped is zeroed. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/slice.h"

enum { STASH_KEEP_BYTES = 4096 }; /* larger memory is freed as soon as it is empty */

struct stash {
  char *data;
  size_t len, room, limit_bytes;
};

#define STASH_INIT(limit)                                                                          \
  { .limit_bytes = (limit) }

static inline struct slice stash_slice(const struct stash *s) {
  return slice_of(s->data, s->len);
}

/* Copies all of `bytes` to the end, or nothing: ERR_LIMIT, ERR_MEMORY. */
enum err stash_append(struct stash *s, struct slice bytes) MUST_CHECK;
/* Drops n bytes (n <= len) from the front. */
void stash_drop(struct stash *s, size_t n);
/* Empties it and returns what was in it, valid until the next append; an end of it may be what
 * is appended. */
struct slice stash_take(struct stash *s);
/* Keeps its limit, and may be used again. */
void stash_free(struct stash *s);

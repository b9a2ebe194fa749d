/* Growing text for what is not on the path of a request: status pages, metrics,
 * records.  Bounded by limit_bytes; once a write did not fit (or memory ran out)
 * the buffer is `failed` and ignores further writes, so that callers check once. */
#pragma once

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct buf {
  char *data; /* NUL-terminated when not NULL */
  size_t len, capacity, limit_bytes;
  bool failed;
};

#define BUF_INIT(limit)                                                                            \
  { .limit_bytes = (limit) }

void buf_add(struct buf *b, struct slice s);
void buf_str(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) PRINTF(2, 3);
/* In decimal digits, with zeros before it up to that many digits. */
void buf_number(struct buf *b, uint64_t value, unsigned digits);
void buf_integer(struct buf *b, int64_t value);
/* The text as a quoted JSON string (RFC 8259, 7). Bytes that are not UTF-8 become U+FFFD. */
void buf_json(struct buf *b, struct slice s);
/* Empties, keeps the memory. */
void buf_clear(struct buf *b);
void buf_free(struct buf *b);
static inline struct slice buf_slice(const struct buf *b) {
  return slice_of(b->data, b->len);
}

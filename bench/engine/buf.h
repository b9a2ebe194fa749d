#ifndef ENGINE_BUF_H
#define ENGINE_BUF_H

#include <stdarg.h>
#include <stddef.h>

/* A growing run of bytes, taken from the front and added to at the back. Zeroed is empty.
 * Running out of memory ends the process: a test server has nothing better to do. */
struct buf {
  char *data;
  size_t start, end, capacity;
};

static inline size_t buf_len(const struct buf *b) {
  return b->end - b->start;
}

static inline char *buf_at(const struct buf *b) {
  return b->data + b->start;
}

/* Makes room for n more bytes, at least one, and returns where they go; the caller then moves
 * `end`. */
char *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const char *bytes, size_t n);
void buf_text(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));
/* Adds a JSON string, quotes and escapes included. Bytes that are not ASCII are written as
 * the code points of Latin-1, so that any header value survives. */
void buf_json(struct buf *b, const char *bytes, size_t n);
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b);
/* Empties it, and gives the memory back when it holds more than `keep` bytes. */
void buf_shrink(struct buf *b, size_t keep);

#endif

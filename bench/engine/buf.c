#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_MIN_BYTES = 1024 };

static void buf_grow(struct buf *b, size_t need) {
  size_t capacity = b->capacity ? b->capacity : BUF_MIN_BYTES;
  while (capacity < need)
    capacity *= 2;
  b->data = realloc(b->data, capacity);
  if (!b->data)
    abort();
  b->capacity = capacity;
}

/* Moving what is left to the front comes first: it may be room enough. */
char *buf_reserve(struct buf *b, size_t n) {
  if (b->capacity - b->end < n && b->start) {
    memmove(b->data, buf_at(b), buf_len(b));
    b->end -= b->start;
    b->start = 0;
  }
  if (b->capacity - b->end < n)
    buf_grow(b, b->end + n);
  return b->data + b->end;
}

void buf_add(struct buf *b, const char *bytes, size_t n) {
  if (!n)
    return;
  memcpy(buf_reserve(b, n), bytes, n);
  b->end += n;
}

void buf_text(struct buf *b, const char *text) {
  buf_add(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *format, ...) {
  va_list list, again;
  va_start(list, format);
  va_copy(again, list);
  char *at = buf_reserve(b, 512);
  size_t room = b->capacity - b->end;
  size_t n = (size_t)vsnprintf(at, room, format, list);
  if (n >= room)
    vsnprintf(buf_reserve(b, n + 1), n + 1, format, again);
  b->end += n;
  va_end(again);
  va_end(list);
}

void buf_json(struct buf *b, const char *bytes, size_t n) {
  buf_add(b, "\"", 1);
  for (size_t i = 0; i < n; i++) {
    unsigned char byte = (unsigned char)bytes[i];
    if (byte < 0x20 || byte >= 0x7f)
      buf_printf(b, "\\u%04x", byte);
    else {
      if (byte == '"' || byte == '\\')
        buf_add(b, "\\", 1);
      buf_add(b, &bytes[i], 1);
    }
  }
  buf_add(b, "\"", 1);
}

void buf_consume(struct buf *b, size_t n) {
  b->start += n;
  if (b->start == b->end)
    buf_clear(b);
}

void buf_clear(struct buf *b) {
  b->start = b->end = 0;
}

void buf_shrink(struct buf *b, size_t keep) {
  buf_clear(b);
  if (b->capacity <= keep)
    return;
  free(b->data);
  *b = (struct buf){0};
}

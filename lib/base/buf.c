#include "lib/base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/utf8.h"

enum { BUF_MIN_BYTES = 256 };

static bool buf_reserve(struct buf *b, size_t more) {
  if (b->failed || more > b->limit_bytes || b->len > b->limit_bytes - more) {
    b->failed = true;
    return false;
  }
  size_t need = b->len + more + 1;
  if (need <= b->capacity)
    return true;
  size_t capacity = b->capacity ? b->capacity : BUF_MIN_BYTES;
  while (capacity < need)
    capacity *= 2;
  char *data = realloc(b->data, capacity);
  if (!data) {
    b->failed = true;
    return false;
  }
  b->data = data;
  b->capacity = capacity;
  return true;
}

void buf_add(struct buf *b, struct slice s) {
  if (!buf_reserve(b, s.len))
    return;
  if (s.len)
    memcpy(b->data + b->len, s.data, s.len);
  b->len += s.len;
  b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *text) {
  buf_add(b, slice_str(text));
}

void buf_printf(struct buf *b, const char *format, ...) {
  va_list args;
  va_start(args, format);
  va_list again;
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (n >= 0 && buf_reserve(b, (size_t)n)) {
    vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
    b->len += (size_t)n;
  }
  va_end(again);
}

void buf_number(struct buf *b, uint64_t value, unsigned digits) {
  char room[SLICE_NUMBER_BYTES];
  struct slice text = slice_number(room, value);
  for (; digits > text.len; digits--)
    buf_add(b, SLICE("0"));
  buf_add(b, text);
}

void buf_integer(struct buf *b, int64_t value) {
  if (value < 0)
    buf_add(b, SLICE("-"));
  buf_number(b, value < 0 ? -(uint64_t)value : (uint64_t)value, 1);
}

static bool is_plain(unsigned char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* How many bytes from the start stand for themselves in a JSON string. */
static size_t plain_length(struct slice s) {
  size_t n = 0;
  while (n < s.len && is_plain((unsigned char)s.data[n]))
    n++;
  return n;
}

/* One character that does not; returns its bytes. */
static size_t json_escape(struct buf *b, struct slice s) {
  size_t n = utf8_length(s);
  unsigned char c = (unsigned char)s.data[0];
  if (n == 0)
    buf_add(b, SLICE("\\ufffd"));
  else if (c == '"' || c == '\\')
    buf_printf(b, "\\%c", c);
  else if (c < 0x20 || c == 0x7f)
    buf_printf(b, "\\u%04x", c);
  else
    buf_add(b, slice_of(s.data, n));
  return n ? n : 1;
}

void buf_json(struct buf *b, struct slice s) {
  buf_add(b, SLICE("\""));
  while (s.len) {
    size_t n = plain_length(s);
    if (n)
      buf_add(b, slice_of(s.data, n));
    s = slice_skip(s, n ? n : json_escape(b, s));
  }
  buf_add(b, SLICE("\""));
}

void buf_clear(struct buf *b) {
  b->len = 0;
  b->failed = false;
  if (b->data)
    b->data[0] = '\0';
}

void buf_free(struct buf *b) {
  free(b->data);
  *b = (struct buf)BUF_INIT(b->limit_bytes);
}

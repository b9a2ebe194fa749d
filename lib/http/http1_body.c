#include <string.h>

#include "lib/http/http1.h"

enum body_state {
  BODY_PLAIN,       /* a length, until close, or a tunnel */
  CHUNK_SIZE_FIRST, /* at least one digit must come */
  CHUNK_SIZE,
  CHUNK_SIZE_BLANK, /* white space that only a semicolon may follow */
  CHUNK_EXTENSION,  /* ignored to the end of the line */
  CHUNK_SIZE_LF,
  CHUNK_DATA,
  CHUNK_DATA_CR,
  CHUNK_DATA_LF,
  CHUNK_TRAILER,
  BODY_DONE,
};

enum {
  CHUNK_SIZE_SHIFT_MAX = 59, /* the next digit would pass 63 bits */
  PLAIN_SIZE_DIGITS = 8,
};

void http1_body_init(struct http1_body *b, const struct http_head *h) {
  *b = (struct http1_body){.framing = h->framing, .left = h->content_length};
  if (h->framing == HTTP_CHUNKED) {
    b->state = CHUNK_SIZE_FIRST;
    b->left = 0;
  } else if (h->framing == HTTP_NO_BODY) {
    b->state = BODY_DONE;
  }
}

bool http1_body_may_close(const struct http1_body *b, bool orderly) {
  bool open = b->framing == HTTP_UNTIL_CLOSE || b->framing == HTTP_TUNNEL;
  return b->state == BODY_DONE || (open && orderly);
}

static int digit_of(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum http1_event take_data(struct http1_body *b, struct slice *in, struct slice *span) {
  size_t n = b->left < (int64_t)in->len ? (size_t)b->left : in->len;
  *span = slice_of(in->data, n);
  *in = slice_skip(*in, n);
  b->left -= (int64_t)n;
  return HTTP1_DATA;
}

static enum http1_event plain_next(struct http1_body *b, struct slice *in, struct slice *span) {
  if (b->framing == HTTP_LENGTH && b->left == 0) {
    b->state = BODY_DONE;
    return HTTP1_END;
  }
  if (in->len == 0)
    return HTTP1_MORE;
  if (b->framing == HTTP_LENGTH)
    return take_data(b, in, span);
  *span = *in;
  *in = slice_skip(*in, in->len);
  return HTTP1_DATA;
}

/* One byte of a chunk-size line (RFC 9112, 7.1); false when it does not belong there. */
static bool size_byte(struct http1_body *b, char c) {
  if (++b->line_bytes > HTTP1_CHUNK_LINE_LIMIT)
    return false;
  if (b->state == CHUNK_SIZE_LF) {
    b->line_bytes = 0;
    b->state = b->left ? CHUNK_DATA : CHUNK_TRAILER;
    return c == '\n';
  }
  if (b->state == CHUNK_EXTENSION) {
    if (c == '\r')
      b->state = CHUNK_SIZE_LF;
    return c == '\r' || c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
  }
  bool blank = c == ' ' || c == '\t';
  int digit = digit_of(c);
  if (digit >= 0 && b->state != CHUNK_SIZE_BLANK) {
    if (b->left >> CHUNK_SIZE_SHIFT_MAX)
      return false;
    b->left = b->left << 4 | digit;
    b->state = CHUNK_SIZE;
    return true;
  }
  if (b->state == CHUNK_SIZE_FIRST)
    return false;
  bool end = c == '\r' && b->state == CHUNK_SIZE;
  b->state = end ? CHUNK_SIZE_LF : blank ? CHUNK_SIZE_BLANK : CHUNK_EXTENSION;
  return end || blank || c == ';';
}

/* The plain case at once: digits and the line's end, all there. */
static bool size_line(struct http1_body *b, struct slice *in) {
  size_t n = 0;
  int64_t size = 0;
  for (int digit; n < in->len && n < PLAIN_SIZE_DIGITS && (digit = digit_of(in->data[n])) >= 0; n++)
    size = size << 4 | digit;
  if (n == 0 || in->len < n + 2 || in->data[n] != '\r' || in->data[n + 1] != '\n')
    return false;
  *in = slice_skip(*in, n + 2);
  b->left = size;
  b->state = size ? CHUNK_DATA : CHUNK_TRAILER;
  return true;
}

static bool data_end_byte(struct http1_body *b, char c) {
  bool cr = b->state == CHUNK_DATA_CR;
  b->state = cr ? CHUNK_DATA_LF : CHUNK_SIZE_FIRST;
  return c == (cr ? '\r' : '\n');
}

/* A whole trailer line, or the empty one that ends the message. */
static enum http1_event trailer_next(struct http1_body *b, struct slice *in, struct slice *name,
                                     struct slice *value) {
  const char *lf = in->len ? memchr(in->data, '\n', in->len) : NULL;
  if (!lf)
    return in->len > HTTP1_TRAILER_LIMIT - b->trailer_bytes ? HTTP1_BAD : HTTP1_MORE;
  size_t n = (size_t)(lf + 1 - in->data);
  struct slice line = slice_of(in->data, n);
  *in = slice_skip(*in, n);
  b->trailer_bytes += (uint32_t)n;
  if (n < 2 || line.data[n - 2] != '\r' || b->trailer_bytes > HTTP1_TRAILER_LIMIT)
    return HTTP1_BAD;
  line.len -= 2;
  if (line.len == 0) {
    b->state = BODY_DONE;
    return HTTP1_END;
  }
  const char *colon = memchr(line.data, ':', line.len);
  if (!colon)
    return HTTP1_BAD;
  *name = slice_of(line.data, (size_t)(colon - line.data));
  *value = slice_trim(slice_skip(line, name->len + 1));
  return http_is_token(*name) && http_is_field_value(*value) ? HTTP1_TRAILER : HTTP1_BAD;
}

static enum http1_event chunked_next(struct http1_body *b, struct slice *in, struct slice *span,
                                     struct slice *value) {
  while (b->state != CHUNK_TRAILER) {
    if (in->len == 0)
      return HTTP1_MORE;
    if (b->state == CHUNK_DATA) {
      take_data(b, in, span);
      if (b->left == 0)
        b->state = CHUNK_DATA_CR;
      return HTTP1_DATA;
    }
    if (b->state == CHUNK_SIZE_FIRST && b->line_bytes == 0 && size_line(b, in))
      continue;
    bool end = b->state == CHUNK_DATA_CR || b->state == CHUNK_DATA_LF;
    if (!(end ? data_end_byte(b, in->data[0]) : size_byte(b, in->data[0])))
      return HTTP1_BAD;
    *in = slice_skip(*in, 1);
  }
  return trailer_next(b, in, span, value);
}

enum http1_event http1_body_next(struct http1_body *b, struct slice *in, struct slice *span,
                                 struct slice *value) {
  if (b->state == BODY_DONE)
    return HTTP1_END;
  return b->framing == HTTP_CHUNKED ? chunked_next(b, in, span, value) : plain_next(b, in, span);
}

#ifndef ENGINE_HTTP_H
#define ENGINE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The request side of HTTP/1: bytes in, fields and body spans out. Pure: no sockets, no memory.
 * It is stricter than engines usually are, so that what a proxy sends is checked. */

enum { HTTP_FIELDS_MAX = 256, HTTP_HEAD_MAX_BYTES = 64 * 1024, HTTP_LINE_MAX_BYTES = 8192 };

struct http_text {
  const char *at;
  size_t len;
};

struct http_field {
  struct http_text name, value;
};

struct http_head { /* points into the bytes it was parsed from */
  struct http_text method, target;
  bool http10;
  size_t count;
  struct http_field fields[HTTP_FIELDS_MAX];
};

enum http_framing { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED };
enum http_part { HTTP_SIZE, HTTP_DATA, HTTP_DATA_END, HTTP_TRAILER };

struct http_body {
  enum http_framing framing;
  enum http_part part;
  uint64_t left; /* of the body, or of the chunk */
};

enum http_step { HTTP_MORE, HTTP_SPAN, HTTP_END, HTTP_BAD };

bool http_text_is(struct http_text text, const char *word); /* without regard to case */
/* Does the comma-separated list contain the word? */
bool http_list_has(struct http_text list, const char *word);
/* Without the blanks at either end. */
struct http_text http_trim(const char *at, const char *end);
/* Copies as much as fits, with a final NUL. */
void http_text_copy(struct http_text text, char *to, size_t size);
bool http_number(struct http_text text, uint64_t *n);

/* Bytes of the head; 0 when there is more to come; minus a status when it cannot be served. */
int http_head_parse(struct http_head *h, const char *data, size_t len);
/* 0, or the status with which to refuse the request. */
int http_body_begin(struct http_body *b, const struct http_head *h);
/* Takes `used` bytes off the front of data; with HTTP_SPAN, `span` is body. */
enum http_step http_body_next(struct http_body *b, const char *data, size_t len, size_t *used,
                              struct http_text *span);
const char *http_reason(int status);

#endif

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "http.h"

#include <string.h>
#include <strings.h>

bool http_text_is(struct http_text text, const char *word) {
  return text.len == strlen(word) && !strncasecmp(text.at, word, text.len);
}

struct http_text http_trim(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t'))
    at++;
  while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
    end--;
  return (struct http_text){at, (size_t)(end - at)};
}

bool http_list_has(struct http_text list, const char *word) {
  const char *end = list.at + list.len;
  for (const char *at = list.at; at < end;) {
    const char *comma = memchr(at, ',', (size_t)(end - at));
    const char *stop = comma ? comma : end;
    if (http_text_is(http_trim(at, stop), word))
      return true;
    at = stop + 1;
  }
  return false;
}

void http_text_copy(struct http_text text, char *to, size_t size) {
  size_t n = text.len < size - 1 ? text.len : size - 1;
  memcpy(to, text.at, n);
  to[n] = 0;
}

bool http_number(struct http_text text, uint64_t *n) {
  *n = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (text.at[i] < '0' || text.at[i] > '9' || *n > UINT64_MAX / 100)
      return false;
    *n = *n * 10 + (uint64_t)(text.at[i] - '0');
  }
  return text.len > 0;
}

static bool http_is_token(struct http_text text) {
  for (size_t i = 0; i < text.len; i++)
    if ((unsigned char)text.at[i] <= ' ' || text.at[i] == 0x7f ||
        strchr("\"(),/:;<=>?@[\\]{}", text.at[i]))
      return false;
  return text.len > 0;
}

static bool http_is_value(struct http_text text) {
  for (size_t i = 0; i < text.len; i++)
    if (((unsigned char)text.at[i] < ' ' && text.at[i] != '\t') || text.at[i] == 0x7f)
      return false;
  return true;
}

static int http_request_line(struct http_head *h, const char *at, const char *end) {
  const char *space = memchr(at, ' ', (size_t)(end - at));
  const char *last = memrchr(at, ' ', (size_t)(end - at));
  if (!space || space == last)
    return -400;
  h->method = (struct http_text){at, (size_t)(space - at)};
  h->target = (struct http_text){space + 1, (size_t)(last - space - 1)};
  struct http_text version = {last + 1, (size_t)(end - last - 1)};
  h->http10 = http_text_is(version, "HTTP/1.0");
  if (!http_is_token(h->method) || !h->target.len || memchr(h->target.at, ' ', h->target.len))
    return -400;
  return h->http10 || http_text_is(version, "HTTP/1.1") ? 0 : -505;
}

static int http_field_line(struct http_head *h, const char *at, const char *end) {
  const char *colon = memchr(at, ':', (size_t)(end - at));
  if (!colon)
    return -400;
  if (h->count == HTTP_FIELDS_MAX)
    return -431;
  struct http_field *f = &h->fields[h->count++];
  f->name = (struct http_text){at, (size_t)(colon - at)};
  f->value = http_trim(colon + 1, end);
  return http_is_token(f->name) && http_is_value(f->value) ? 0 : -400;
}

int http_head_parse(struct http_head *h, const char *data, size_t len) {
  const char *at = data, *stop = data + len;
  while (stop - at >= 2 && at[0] == '\r' && at[1] == '\n')
    at += 2;
  const char *end = memmem(at, (size_t)(stop - at), "\r\n\r\n", 4);
  if (!end)
    return len >= HTTP_HEAD_MAX_BYTES ? -431 : 0;
  h->count = 0;
  const char *line_end = memmem(at, (size_t)(stop - at), "\r\n", 2);
  int refused = http_request_line(h, at, line_end);
  while (!refused && line_end < end) {
    at = line_end + 2;
    line_end = memmem(at, (size_t)(stop - at), "\r\n", 2);
    refused = http_field_line(h, at, line_end);
  }
  return refused ? refused : (int)(end + 4 - data);
}

static int http_length(struct http_body *b, struct http_text value) {
  uint64_t n;
  if (!http_number(value, &n) || (b->framing == HTTP_LENGTH && b->left != n))
    return 400;
  b->framing = HTTP_LENGTH;
  b->left = n;
  return 0;
}

int http_body_begin(struct http_body *b, const struct http_head *h) {
  *b = (struct http_body){0};
  bool chunked = false;
  for (size_t i = 0; i < h->count; i++) {
    const struct http_field *f = &h->fields[i];
    if (http_text_is(f->name, "content-length") && http_length(b, f->value))
      return 400;
    if (!http_text_is(f->name, "transfer-encoding"))
      continue;
    if (chunked || h->http10)
      return 400;
    if (!http_text_is(f->value, "chunked"))
      return 501;
    chunked = true;
  }
  if (chunked && b->framing == HTTP_LENGTH)
    return 400;
  if (chunked)
    b->framing = HTTP_CHUNKED;
  return 0;
}

static bool http_chunk_size(struct http_body *b, const char *at, const char *end) {
  const char *first = at;
  for (b->left = 0; at < end && b->left <= UINT64_MAX >> 8; at++) {
    int low = *at | 0x20;
    if (*at >= '0' && *at <= '9')
      b->left = b->left * 16 + (uint64_t)(*at - '0');
    else if (low >= 'a' && low <= 'f')
      b->left = b->left * 16 + (uint64_t)(low - 'a' + 10);
    else
      break;
  }
  b->part = b->left ? HTTP_DATA : HTTP_TRAILER;
  return at > first && (at == end || *at == ';' || *at == ' ');
}

static enum http_step http_chunk_line(struct http_body *b, const char *data, size_t len,
                                      size_t *used) {
  if (b->part == HTTP_DATA_END && (data[0] != '\r' || (len > 1 && data[1] != '\n')))
    return HTTP_BAD;
  const char *end = memmem(data, len, "\r\n", 2);
  if (!end)
    return len > HTTP_LINE_MAX_BYTES ? HTTP_BAD : HTTP_MORE;
  *used = (size_t)(end - data) + 2;
  if (b->part == HTTP_TRAILER)
    return end == data ? HTTP_END : HTTP_SPAN;
  if (b->part == HTTP_SIZE)
    return http_chunk_size(b, data, end) ? HTTP_SPAN : HTTP_BAD;
  b->part = HTTP_SIZE;
  return HTTP_SPAN;
}

enum http_step http_body_next(struct http_body *b, const char *data, size_t len, size_t *used,
                              struct http_text *span) {
  *used = 0;
  *span = (struct http_text){data, 0};
  if (b->framing != HTTP_CHUNKED && !b->left)
    return HTTP_END;
  if (!len)
    return HTTP_MORE;
  if (b->framing == HTTP_CHUNKED && b->part != HTTP_DATA)
    return http_chunk_line(b, data, len, used);
  *used = span->len = len < b->left ? len : (size_t)b->left;
  b->left -= *used;
  if (!b->left)
    b->part = HTTP_DATA_END;
  return HTTP_SPAN;
}

const char *http_reason(int status) {
  static const struct {
    int status;
    const char *reason;
  } reasons[] = {
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {304, "Not Modified"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {413, "Content Too Large"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
  };
  for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
    if (reasons[i].status == status)
      return reasons[i].reason;
  return "Status";
}

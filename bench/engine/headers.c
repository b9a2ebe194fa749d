#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "headers.h"

#include <ctype.h>
#include <strings.h>

static bool headers_same(const struct http_field *a, const struct http_field *b) {
  return a->name.len == b->name.len && !strncasecmp(a->name.at, b->name.at, a->name.len);
}

static size_t headers_count(const struct http_head *h, size_t from, size_t to,
                            const struct http_field *like) {
  size_t n = 0;
  for (size_t i = from; i < to; i++)
    n += headers_same(&h->fields[i], like);
  return n;
}

static void headers_add_name(struct buf *b, struct http_text name) {
  size_t at = buf_len(b);
  buf_json(b, name.at, name.len);
  for (; at < buf_len(b); at++)
    buf_at(b)[at] = (char)tolower((unsigned char)buf_at(b)[at]);
  buf_text(b, ":");
}

static void headers_add_values(struct buf *b, const struct http_head *h, size_t first) {
  const struct http_field *f = &h->fields[first];
  bool again = headers_count(h, first, h->count, f) > 1;
  buf_text(b, again ? "[" : "");
  for (size_t i = first; i < h->count; i++) {
    if (!headers_same(&h->fields[i], f))
      continue;
    buf_text(b, i > first ? "," : "");
    buf_json(b, h->fields[i].value.at, h->fields[i].value.len);
  }
  buf_text(b, again ? "]" : "");
}

static void headers_add_by_name(struct buf *b, const struct http_head *h) {
  for (size_t i = 0; i < h->count; i++) {
    if (headers_count(h, 0, i, &h->fields[i]))
      continue;
    buf_text(b, i ? "," : "");
    headers_add_name(b, h->fields[i].name);
    headers_add_values(b, h, i);
  }
}

static void headers_add_raw(struct buf *b, const struct http_head *h) {
  for (size_t i = 0; i < h->count; i++) {
    buf_text(b, i ? ",[" : "[");
    buf_json(b, h->fields[i].name.at, h->fields[i].name.len);
    buf_text(b, ",");
    buf_json(b, h->fields[i].value.at, h->fields[i].value.len);
    buf_text(b, "]");
  }
}

void headers_describe(struct buf *b, const struct http_head *h) {
  buf_text(b, "{\"method\":");
  buf_json(b, h->method.at, h->method.len);
  buf_text(b, ",\"target\":");
  buf_json(b, h->target.at, h->target.len);
  buf_printf(b, ",\"version\":\"HTTP/1.%d\",\"headers\":{", !h->http10);
  headers_add_by_name(b, h);
  buf_text(b, "},\"raw\":[");
  headers_add_raw(b, h);
  buf_text(b, "]");
}

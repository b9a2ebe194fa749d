#include <string.h>

#include "lib/http/http1.h"

void http1_put(struct http1_out *o, struct slice s) {
  if (s.len > (size_t)(o->end - o->at))
    o->failed = true;
  if (o->failed || s.len == 0)
    return;
  o->at = mempcpy(o->at, s.data, s.len);
}

void http1_put_request_line(struct http1_out *o, struct slice method, struct slice target) {
  http1_put(o, method);
  http1_put(o, SLICE(" "));
  http1_put(o, target);
  http1_put(o, SLICE(" HTTP/1.1\r\n"));
}

void http1_put_status_line(struct http1_out *o, int status, struct slice reason) {
  char digits[4] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                    (char)('0' + status % 10), ' '};
  http1_put(o, SLICE("HTTP/1.1 "));
  http1_put(o, slice_of(digits, 4));
  http1_put(o, reason.len ? reason : slice_str(http_reason(status)));
  http1_put(o, SLICE("\r\n"));
}

void http1_put_field(struct http1_out *o, struct slice name, struct slice value) {
  size_t n = name.len + value.len + 4;
  if (o->failed || n > (size_t)(o->end - o->at)) {
    o->failed = true;
    return;
  }
  o->at = mempcpy(o->at, name.data, name.len);
  o->at = mempcpy(o->at, ": ", 2);
  if (value.len)
    o->at = mempcpy(o->at, value.data, value.len);
  o->at = mempcpy(o->at, "\r\n", 2);
}

void http1_put_number_field(struct http1_out *o, struct slice name, int64_t value) {
  char digits[SLICE_NUMBER_BYTES];
  http1_put_field(o, name, slice_number(digits, (uint64_t)value));
}

void http1_put_upgrade(struct http1_out *o) {
  http1_put_field(o, SLICE("connection"), SLICE("Upgrade"));
  http1_put_field(o, SLICE("upgrade"), SLICE("websocket"));
}

void http1_put_end(struct http1_out *o) {
  http1_put(o, SLICE("\r\n"));
}

size_t http1_chunk_head(char *to, size_t size) {
  char digits[16];
  size_t at = sizeof digits;
  do {
    digits[--at] = "0123456789abcdef"[size & 15];
    size >>= 4;
  } while (size);
  size_t n = sizeof digits - at;
  memcpy(to, digits + at, n);
  memcpy(to + n, "\r\n", 2);
  return n + 2;
}

#include "lib/http/error_body.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/utf8.h"

enum { WORD_BYTES_MAX = 64, ESCAPE_BYTES = 6 };

/* As a JSON string without its quotes (RFC 8259, 7), at most `most` bytes. */
static char *escaped(char *to, size_t most, const char *text) {
  struct slice s = slice_str(text);
  char *end = to + most;
  while (s.len && to + ESCAPE_BYTES <= end) {
    size_t n = utf8_length(s);
    unsigned char c = (unsigned char)s.data[0];
    if (n == 0) {
      to = mempcpy(to, "\xef\xbf\xbd", 3);
      n = 1;
    } else if (c == '"' || c == '\\') {
      *to++ = '\\';
      *to++ = (char)c;
    } else if (c < 0x20) {
      to += sprintf(to, "\\u%04x", c);
    } else {
      to = mempcpy(to, s.data, n);
    }
    s = slice_skip(s, n);
  }
  return to;
}

size_t http_error_body(char *to, size_t room, const char *message, const char *type,
                       const char *param, const char *code) {
  assert(room >= ERROR_BODY_BYTES_MIN);
  char *at = stpcpy(to, "{\"error\":{\"message\":\"");
  size_t rest = 3 * WORD_BYTES_MAX +
                sizeof "{\"error\":{\"message\":\"\",\"type\":\"\",\"param\":\"\",\"code\":\"\"}}";
  at = escaped(at, room - rest, message);
  at = stpcpy(at, "\",\"type\":\"");
  at = escaped(at, WORD_BYTES_MAX, type ? type : "server_error");
  at = stpcpy(at, param ? "\",\"param\":\"" : "\",\"param\":null,\"code\":\"");
  if (param)
    at = stpcpy(escaped(at, WORD_BYTES_MAX, param), "\",\"code\":\"");
  at = escaped(at, WORD_BYTES_MAX, code ? code : "error");
  at = stpcpy(at, "\"}}");
  return (size_t)(at - to);
}

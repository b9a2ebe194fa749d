/* Any bytes as an answer: what is accepted has a status and one way to end. */
#include <assert.h>

#include "lib/http/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice in = slice_of((const char *)data, size);
  size_t scanned = 0, n = http1_head_end(in, &scanned);
  struct http_field fields[32];
  struct http_head h;
  http_head_init(&h, fields, 32);
  in.len = n;
  if (!n || http1_parse_response(in, HTTP_GET, &h) != OK)
    return 0;
  assert(h.status >= 100 && h.status <= 999);
  assert(h.framing != HTTP_LENGTH || h.content_length >= 0);
  assert(h.framing != HTTP_UNTIL_CLOSE || !h.keep_alive);
  return 0;
}

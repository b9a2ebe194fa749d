/* Any bytes as a request: every slice lies in the input, and what is accepted obeys the grammar. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct slice s, struct slice in) {
  assert(s.len == 0 || (s.data >= in.data && s.data + s.len <= in.data + in.len) ||
         slice_equal(s, SLICE("/")) || slice_equal(s, SLICE("*")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice in = slice_of((const char *)data, size);
  size_t scanned = 0, n = http1_head_end(in, &scanned);
  if (!n)
    return 0;
  struct http_field fields[32];
  struct http_head h;
  http_head_init(&h, fields, 32);
  in.len = n;
  if (http1_parse_request(in, &h) != OK)
    return 0;
  inside(h.target, in);
  inside(h.authority, in);
  assert(http_is_target(h.target) && http_is_token(h.method_text));
  assert(h.framing != HTTP_UNTIL_CLOSE && (h.framing != HTTP_LENGTH || h.content_length > 0));
  for (int i = 0; i < h.field_count; i++) {
    inside(fields[i].name, in);
    inside(fields[i].value, in);
    assert(http_is_token(fields[i].name) && http_is_field_value(fields[i].value));
  }
  return 0;
}

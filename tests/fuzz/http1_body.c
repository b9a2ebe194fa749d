/* Any bytes as a chunked body: in one piece or in two, the content is the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
  char *content;
  size_t len;
  enum http1_event event;
};

static struct outcome read_body(const char *data, size_t size, size_t cut) {
  struct http_head h;
  struct http1_body b;
  struct outcome o = {malloc(size * 2 + 1), 0, HTTP1_MORE};
  char *rest = malloc(size + 1);
  size_t kept = 0;
  http_head_init(&h, NULL, 0);
  h.framing = HTTP_CHUNKED;
  http1_body_init(&b, &h);
  for (int part = 0; part < 2 && o.event == HTTP1_MORE; part++) {
    size_t n = part ? size - cut : cut;
    memcpy(rest + kept, data + (part ? cut : 0), n);
    struct slice in = slice_of(rest, kept + n), span, value;
    while ((o.event = http1_body_next(&b, &in, &span, &value)) == HTTP1_DATA ||
           o.event == HTTP1_TRAILER) {
      assert(span.data >= rest && span.data + span.len <= rest + size);
      memcpy(o.content + o.len, span.data, span.len);
      o.len += span.len;
    }
    memmove(rest, in.data, in.len);
    kept = in.len;
  }
  free(rest);
  return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0 || size > 20000)
    return 0;
  size_t cut = data[0] % size;
  struct outcome whole = read_body((const char *)data, size, size),
                 split = read_body((const char *)data, size, cut);
  assert(whole.event == split.event);
  if (whole.event == HTTP1_END)
    assert(whole.len == split.len && memcmp(whole.content, split.content, whole.len) == 0);
  free(whole.content);
  free(split.content);
  return 0;
}

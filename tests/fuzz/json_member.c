/* Any bytes, cut anywhere, give one answer; and what jansson reads as an object with a string
 * "model" is found with the same value. */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/http/json_member.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  struct slice all = slice_of((const char *)data + 1, size - 1);
  struct json_member whole, cut;
  json_member_init(&whole, SLICE("model"));
  json_member_init(&cut, SLICE("model"));
  json_member_feed(&whole, all);
  size_t at = data[0] < all.len ? data[0] : all.len;
  json_member_feed(&cut, slice_of(all.data, at));
  json_member_feed(&cut, slice_skip(all, at));
  assert(whole.result == cut.result);
  assert(slice_equal(json_member_value(&whole), json_member_value(&cut)));
  json_t *root = json_loadb(all.data, all.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
  json_t *model = json_object_get(root, "model");
  if (json_is_string(model) && json_string_length(model) <= JSON_MEMBER_BYTES_MAX) {
    assert(whole.result == JSON_MEMBER_FOUND);
    assert(slice_equal(json_member_value(&whole),
                       slice_of(json_string_value(model), json_string_length(model))));
  }
  json_decref(root);
  return 0;
}

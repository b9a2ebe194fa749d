#include "lib/base/slice.h"

bool slice_list_next(struct slice *rest, struct slice *element) {
  while (rest->len) {
    const char *comma = memchr(rest->data, ',', rest->len);
    size_t len = comma ? (size_t)(comma - rest->data) : rest->len;
    *element = slice_trim(slice_of(rest->data, len));
    *rest = slice_skip(*rest, len + 1);
    if (element->len)
      return true;
  }
  return false;
}

bool slice_list_has(struct slice list, struct slice element) {
  struct slice one;
  while (slice_list_next(&list, &one))
    if (slice_equal_nocase(one, element))
      return true;
  return false;
}

bool slice_decimal(struct slice s, long long *value) {
  long long v = 0;
  if (s.len == 0)
    return false;
  for (size_t i = 0; i < s.len; i++) {
    if (s.data[i] < '0' || s.data[i] > '9')
      return false;
    if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, s.data[i] - '0', &v))
      return false;
  }
  *value = v;
  return true;
}

struct slice slice_number(char room[SLICE_NUMBER_BYTES], uint64_t value) {
  size_t at = SLICE_NUMBER_BYTES;
  do {
    room[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  return slice_of(room + at, SLICE_NUMBER_BYTES - at);
}

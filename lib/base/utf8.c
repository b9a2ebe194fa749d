#include "lib/base/utf8.h"

#include <stdbool.h>

static bool tail(struct slice s, size_t i, unsigned low, unsigned high) {
  return i < s.len && (unsigned char)s.data[i] >= low && (unsigned char)s.data[i] <= high;
}

size_t utf8_length(struct slice s) {
  if (s.len == 0)
    return 0;
  unsigned char c = (unsigned char)s.data[0];
  if (c < 0x80)
    return 1;
  if (c >= 0xc2 && c <= 0xdf)
    return tail(s, 1, 0x80, 0xbf) ? 2 : 0;
  if (c >= 0xe0 && c <= 0xef)
    return tail(s, 1, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf) && tail(s, 2, 0x80, 0xbf)
               ? 3
               : 0;
  if (c >= 0xf0 && c <= 0xf4)
    return tail(s, 1, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf) && tail(s, 2, 0x80, 0xbf) &&
                   tail(s, 3, 0x80, 0xbf)
               ? 4
               : 0;
  return 0;
}

/* Finds one string member of a JSON object (RFC 8259) while the object arrives, in pieces of
 * any size, and no further than needed. Only the top level is looked at; what lies deeper is
 * passed over by its brackets and strings. The first member of the name counts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/slice.h"

enum { JSON_MEMBER_BYTES_MAX = 256, JSON_MEMBER_DEPTH_MAX = 2048 };

enum json_member_result {
  JSON_MEMBER_MORE,   /* not yet */
  JSON_MEMBER_FOUND,  /* its value is there */
  JSON_MEMBER_ABSENT, /* the object has ended without it */
  JSON_MEMBER_BAD,    /* not an object, or the value is not a string of at most
                         JSON_MEMBER_BYTES_MAX bytes */
};

struct json_member {
  struct slice name;
  enum json_member_result result;
  int state, depth;
  bool matches, escaped, overflown;
  int hex_left;        /* digits of \uXXXX still to come */
  uint32_t code, high; /* of it; the first half of a surrogate pair */
  char text[JSON_MEMBER_BYTES_MAX + 4];
  size_t len; /* of the text: the key being read, in the end the value, as UTF-8 */
};

/* `name` outlives it. */
void json_member_init(struct json_member *m, struct slice name);
/* Once it is not JSON_MEMBER_MORE the answer stays. */
enum json_member_result json_member_feed(struct json_member *m, struct slice bytes);
/* When found. */
struct slice json_member_value(const struct json_member *m);

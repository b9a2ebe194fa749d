#ifndef ENGINE_JSON_H
#define ENGINE_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* Reads a JSON request as it arrives, keeping only the few members an engine looks at. Nothing of
 * the text is stored, so a prompt of any size costs no memory. Zeroed is ready for use. */

enum { JSON_KEY_MAX_BYTES = 32, JSON_VALUE_MAX_BYTES = 128, JSON_LEVELS = 3 };

struct json_scan {
  bool began, bad, in_string, is_key, escaped, too_long;
  unsigned depth;
  char kind[JSON_LEVELS];     /* '{' or '[' of the outer levels, by depth */
  bool key_next[JSON_LEVELS]; /* at that depth a string would be a member's name */
  char key[JSON_LEVELS][JSON_KEY_MAX_BYTES];
  char text[JSON_VALUE_MAX_BYTES]; /* the scalar being read, escapes left as they are */
  size_t text_len;

  /* what was found */
  char model[JSON_VALUE_MAX_BYTES];
  bool stream, include_usage, base64;
  bool has_tokens;
  long tokens;
  long inputs; /* how many texts `input` holds */
};

void json_feed(struct json_scan *s, const char *data, size_t len);
/* A whole object was read, and it was closed. */
bool json_is_object(const struct json_scan *s);

#endif

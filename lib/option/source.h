/* The text of a configuration file: reading, comments, and where things stand. */
#pragma once

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct buf;
struct json_t;
struct option_path;

struct option_source {
  const char *path;
  char *text; /* comments blanked out, positions kept; NUL-terminated */
  size_t len;
  struct json_t *root;
};

/* On error *why says where and what. */
enum err option_source_read(const char *path, struct option_source *s, struct buf *why) MUST_CHECK;
/* The same from a text that is there already; `label` stands in messages for the path. */
enum err option_source_text(const char *label, struct slice text, struct option_source *s,
                            struct buf *why) MUST_CHECK;
void option_source_close(struct option_source *s);
/* Line and column (from 1) of a key or an element; of the deepest part of the path that is there.
 */
void option_source_locate(const struct option_source *s, const struct option_path *path, int *line,
                          int *column);

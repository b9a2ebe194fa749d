#ifndef ENGINE_MULTIPART_H
#define ENGINE_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counts the bytes of the file part of a multipart/form-data body as it arrives. */

enum { MULTIPART_BOUNDARY_MAX_BYTES = 70, MULTIPART_LINE_MAX_BYTES = 512 };

enum multipart_state { MULTIPART_CONTENT, MULTIPART_AFTER_MARK, MULTIPART_HEADERS, MULTIPART_END };

struct multipart {
  enum multipart_state state;
  bool is_file;
  size_t mark_len, matched; /* of the mark "\r\n--boundary" */
  size_t line_len;
  uint64_t file_bytes;
  char mark[MULTIPART_BOUNDARY_MAX_BYTES + 5];
  char line[MULTIPART_LINE_MAX_BYTES];
};

/* False when the content type names no usable boundary. */
bool multipart_begin(struct multipart *m, const char *content_type);
void multipart_feed(struct multipart *m, const char *data, size_t len);
bool multipart_is_whole(const struct multipart *m);

#endif

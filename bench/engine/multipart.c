#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "multipart.h"

#include <string.h>

bool multipart_begin(struct multipart *m, const char *content_type) {
  *m = (struct multipart){0};
  const char *at = strcasestr(content_type, "boundary=");
  if (!at)
    return false;
  at += strlen("boundary=");
  bool quoted = *at == '"';
  at += quoted;
  size_t n = strcspn(at, quoted ? "\"" : "; \t");
  if (!n || n > MULTIPART_BOUNDARY_MAX_BYTES)
    return false;
  memcpy(m->mark, "\r\n--", 4);
  memcpy(m->mark + 4, at, n);
  m->mark_len = n + 4;
  m->matched = 2; /* the first mark has no line before it */
  return true;
}

static void multipart_count(struct multipart *m, size_t n) {
  if (m->is_file)
    m->file_bytes += n;
}

static void multipart_enter(struct multipart *m, enum multipart_state state) {
  m->state = state;
  m->matched = 0;
  m->line_len = 0;
}

/* A mark begins with CR and holds no other, so a match that fails can only start again at the
 * byte it failed on. Returns the bytes used. */
static size_t multipart_content(struct multipart *m, const char *at, size_t len) {
  if (!m->matched && *at != '\r') {
    const char *cr = memchr(at, '\r', len);
    size_t n = cr ? (size_t)(cr - at) : len;
    multipart_count(m, n);
    return n;
  }
  if (*at == m->mark[m->matched]) {
    if (++m->matched == m->mark_len)
      multipart_enter(m, MULTIPART_AFTER_MARK);
    return 1;
  }
  multipart_count(m, m->matched);
  m->matched = 0;
  return 0;
}

static void multipart_header(struct multipart *m) {
  if (!m->line_len) {
    multipart_enter(m, MULTIPART_CONTENT);
    return;
  }
  m->line[m->line_len] = 0;
  m->line_len = 0;
  if (!strncasecmp(m->line, "content-disposition:", 20) && strcasestr(m->line, "filename"))
    m->is_file = true;
}

static void multipart_line_end(struct multipart *m) {
  if (m->state == MULTIPART_HEADERS) {
    multipart_header(m);
    return;
  }
  bool last = m->line_len >= 2 && !memcmp(m->line, "--", 2);
  m->is_file = false;
  multipart_enter(m, last ? MULTIPART_END : MULTIPART_HEADERS);
}

static void multipart_line_byte(struct multipart *m, char byte) {
  if (byte == '\n')
    multipart_line_end(m);
  else if (byte != '\r' && m->line_len < sizeof(m->line) - 1)
    m->line[m->line_len++] = byte;
}

void multipart_feed(struct multipart *m, const char *data, size_t len) {
  for (size_t i = 0; i < len && m->state != MULTIPART_END;) {
    if (m->state == MULTIPART_CONTENT)
      i += multipart_content(m, data + i, len - i);
    else
      multipart_line_byte(m, data[i++]);
  }
}

/* The last mark may lack the newline after it. */
bool multipart_is_whole(const struct multipart *m) {
  return m->state == MULTIPART_END ||
         (m->state == MULTIPART_AFTER_MARK && m->line_len >= 2 && !memcmp(m->line, "--", 2));
}

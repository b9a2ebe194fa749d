/* Memory for nghttp2's session of one client connection.
 *
 * nghttp2 keeps room for a whole frame (over 16 KiB) with each session, of which short answers
 * and events touch the beginning only. It is mapped by itself, fresh from the system, so that
 * what was never written costs nothing; malloc would hand out pages that others have used. */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

struct http2_memory {
  nghttp2_mem hooks; /* for nghttp2_session_server_new3 */
  void *room;        /* the mapping; NULL: there is none */
  bool secret;       /* fields of heads are freed now: they are zeroed before */
};

/* `m` must outlive the session. */
void http2_memory_init(struct http2_memory *m);

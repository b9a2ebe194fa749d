/* The inside of an HTTP/2 client connection: one session, its streams. Shared by http2.c (the
 * session), http2_frames.c (what nghttp2 tells) and http2_stream.c (a stream and its request) only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/slice.h"
#include "lib/base/stash.h"
#include "lib/http/head.h"
#include "lib/net/loop.h"
#include "proxy/client/http2_guard.h"
#include "proxy/client/http2_memory.h"

struct client;
struct nghttp2_session;
struct request;

struct http2_session {
  struct nghttp2_session *session;
  struct http2_memory memory;
  struct client *client;
  struct list streams, beginners; /* whose heads are complete, and that are not begun yet */
  int stream_count;
  /* So many bytes of uploads may come before what waits of them all is added up again. */
  size_t buffer_room;
  struct post flush_post, free_post, rest_post;
  struct stash rest; /* what came and has not had its turn */
  struct http2_guard guard;
  size_t block_bytes;           /* of the field block being read, decoded */
  struct http2_verdict verdict; /* once it is not LIMIT_NONE the connection ends */
  /* When what will be looked at: silence, an unfinished head, output that nobody takes, and the
   * streams that wait for their client. USEC_NEVER: not at all. */
  usec_t quiet_at, head_at, write_at, streams_at;
  usec_t go_at;        /* no stream that is opened later is served: the worker is stopping */
  unsigned head_timed; /* the guard's head that head_at is for */
  bool ping_sent;      /* and nothing was heard since */
  bool heard;          /* a whole frame, or of a body, since the last look */
  bool told_to_go;     /* that this will be */
  bool halted;         /* what still ends its head is refused */
  bool cut;            /* the verdict was carried out */
  bool token_came;     /* with the bytes that are being read */
  bool token_kept;     /* one may be in nghttp2's memory of fields (RFC 7541, 2.3.2) */
  bool in_session;     /* nghttp2 is on the stack: it must not be called for output */
};

/* One request and its answer. Freed when nghttp2 closes the stream, or with the
 * session; the request may be over before. */
struct http2_stream {
  struct http2_session *session;
  struct list node, begin_node; /* of its session's lists */
  int32_t id;
  struct request *request; /* NULL once it is over */
  bool too_large, began, remote_ended, answered, closed;
  size_t discarded; /* of the body, after the answer */
  usec_t body_at;   /* the client must have sent more until then; USEC_NEVER: it owes nothing */
  usec_t write_at;  /* the client must have taken some of what waits until then */
  char *answer;     /* a body of our own, of which answer_sent bytes are out */
  size_t answer_len, answer_sent;
};

/* Output is pulled at the end of this turn. */
void http2_session_touch(struct http2_session *s);
void http2_session_flush(struct http2_session *s);
/* Makes nghttp2's session, with our SETTINGS; nghttp2's error, or 0. */
int http2_session_open(struct http2_session *s);
/* Something was heard, or the number of streams is another one: the silence is counted anew. Idle
 * without streams, a ping after silence with them. */
void http2_session_renew(struct http2_session *s);
/* The streams are looked at then, or sooner. */
void http2_session_look(struct http2_session *s, usec_t at);

/* NULL when memory ran out. */
struct http2_stream *http2_stream_new(struct http2_session *s, int32_t id);
void http2_stream_free(struct http2_stream *st);
/* A field of the request head, pseudo-fields too. */
void http2_stream_field(struct http2_stream *st, struct slice name, struct slice value);
/* The head is complete. The request begins to walk by http2_stream_begin, which does nothing for
 * one that has begun already or is not to. */
void http2_stream_head(struct http2_stream *st, bool ended);
void http2_stream_begin(struct http2_stream *st);
/* The client has gone, or has reset the stream: so does its request. */
void http2_stream_leave(struct http2_stream *st);
/* More of the body has come. */
void http2_stream_heard(struct http2_stream *st);
/* Ends it when its client has not sent, or not taken, for too long. When to look again. */
usec_t http2_stream_overdue(struct http2_stream *st, usec_t now);
/* Our END_STREAM is on its way. */
void http2_stream_answered(struct http2_stream *st);
/* More of a body that nobody wants any more. */
void http2_stream_discard(struct http2_stream *st, size_t n);

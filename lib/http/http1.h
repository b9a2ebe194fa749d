/* HTTP/1.1 messages (RFC 9112), pure: bytes in, facts out, both directions.
 *
 * A head is parsed when all of it is there; http1_head_end says whether it is.
 * A body is walked by struct http1_body, which hands out spans of the input in
 * place. Nothing is allocated. Bytes are never modified.
 *
 * What is refused (ERR_SYNTAX): bare CR or LF as a line end, NUL and controls,
 * obs-fold, white space before the colon or in front of the first field,
 * Content-Length together with Transfer-Encoding, differing or malformed
 * Content-Length, any transfer coding but exactly "chunked", a transfer coding in
 * HTTP/1.0, a missing (HTTP/1.1), repeated or malformed Host, an absolute form
 * whose authority differs from Host, CONNECT. ERR_LIMIT: more fields than there is room for.
 * ERR_RANGE: a major version other than 1. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/http/head.h"

struct buf;

/* Looks for the end of a head. `in` is everything of the message so far;
 * *scanned is how much of it earlier calls have seen (start with 0), so that a
 * head arriving byte by byte is not scanned again and again. Returns the head's
 * length including its empty line, or 0 while it is not complete. At a bare LF it ends
 * at once: there is no use in waiting for the rest of what the parser will refuse.
 * A request parser skips one leading CRLF (RFC 9112, 2.2): it counts as part of the head. */
size_t http1_head_end(struct slice in, size_t *scanned);

/* Parse a complete head (`in` as delimited by http1_head_end) into *h, whose
 * array of fields the caller provides through http_head_init. Slices point into
 * `in`. Framing, content_length, keep_alive, expect_continue and authority are
 * worked out. A request's framing is HTTP_TUNNEL when it is a GET without a body that asks
 * for WebSocket (RFC 6455, 4.1); other upgrades are none (RFC 9110, 7.8). */
enum err http1_parse_request(struct slice in, struct http_head *h) MUST_CHECK;
/* `method` is that of the request answered: HEAD has no body, whatever the head
 * says (RFC 9112, 6.3). 1xx, 204 and 304 have none either. A 101 to WebSocket has
 * framing HTTP_TUNNEL, asked for or not. */
enum err http1_parse_response(struct slice in, enum http_method method,
                              struct http_head *h) MUST_CHECK;

/* What http1_body_next found. */
enum http1_event {
  HTTP1_MORE,    /* the input is used up; give more */
  HTTP1_DATA,    /* *span is body content, in place */
  HTTP1_TRAILER, /* *name and *value are a trailer field (chunked only) */
  HTTP1_END,     /* the message is complete; the rest of the input is not ours */
  HTTP1_BAD,     /* the framing is broken */
};

struct http1_body {
  enum http_framing framing;
  int64_t left;           /* bytes of the body or of the current chunk still to come */
  uint8_t state;          /* of the chunk parser */
  uint32_t line_bytes;    /* of a chunk-size or trailer line so far, against its limit */
  uint32_t trailer_bytes; /* of all trailers so far, against HTTP1_TRAILER_LIMIT */
};

/* Named limits of a chunked body. A chunk-size line with its extensions (which
 * are ignored) and one trailer section. A trailer line must fit the input it
 * arrives in or be collected by the caller: see http1_body_next. */
enum { HTTP1_CHUNK_LINE_LIMIT = 256, HTTP1_TRAILER_LIMIT = 8192, HTTP1_CHUNK_HEAD_BYTES = 20 };

void http1_body_init(struct http1_body *b, const struct http_head *h);
/* One step over *in, which is advanced past what was understood. While
 * HTTP1_DATA or HTTP1_TRAILER is returned, call again. A trailer line that is not
 * complete in *in is left there with HTTP1_MORE (in->len > 0): the caller keeps
 * those bytes and presents them again with more behind them; everywhere else
 * HTTP1_MORE leaves *in empty. */
enum http1_event http1_body_next(struct http1_body *b, struct slice *in, struct slice *span,
                                 struct slice *value);
/* Whether the end of the connection is a proper end of this body: after HTTP1_END any, and an
 * orderly one for HTTP_UNTIL_CLOSE and HTTP_TUNNEL. */
bool http1_body_may_close(const struct http1_body *b, bool orderly);

/* Writers. They append to caller's memory through a bounded cursor and never
 * overrun: a head that does not fit leaves the cursor `failed`. */
struct http1_out {
  char *at, *end;
  bool failed;
};

void http1_put(struct http1_out *o, struct slice s);
/* "METHOD target HTTP/1.1\r\n" and "HTTP/1.1 200 OK\r\n" (reason from http_reason when empty). */
void http1_put_request_line(struct http1_out *o, struct slice method, struct slice target);
void http1_put_status_line(struct http1_out *o, int status, struct slice reason);
/* "name: value\r\n" */
void http1_put_field(struct http1_out *o, struct slice name, struct slice value);
void http1_put_number_field(struct http1_out *o, struct slice name, int64_t value);
/* The two fields of a tunnel's request and of its 101 (RFC 6455, 4). */
void http1_put_upgrade(struct http1_out *o);
/* The empty line. */
void http1_put_end(struct http1_out *o);
/* "SIZE\r\n" in hexadecimal into at least HTTP1_CHUNK_HEAD_BYTES; returns its length. The chunk's
 * own CRLF and the last chunk "0\r\n" are the caller's. */
size_t http1_chunk_head(char *to, size_t size);

/* What a client may do on an HTTP/2 connection that costs us more than it (RFC 9113, 10.5): watched
 * from the frames' heads, before nghttp2 sees them.
 *
 * Pure: bytes in, a verdict out; the clock is the caller's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/allowance.h"
#include "lib/base/clock.h"
#include "lib/base/slice.h"
#include "proxy/request/cells.h"

struct config;

enum { HTTP2_PREFACE_BYTES = 24, HTTP2_FRAME_HEAD_BYTES = 9 };

/* Why the connection must end; LIMIT_NONE: it may go on. */
struct http2_verdict {
  enum client_limit limit;
  uint32_t code; /* for GOAWAY */
};

/* Of the configuration that was in force when the connection came: it lives shorter than that. */
struct http2_guard_limits {
  int32_t resets_burst, resets_per_s, control_burst, control_per_s, continuations_max, settings_max;
};

struct http2_guard {
  struct http2_guard_limits limits;
  struct allowance resets, control;
  unsigned char frame_head[HTTP2_FRAME_HEAD_BYTES];
  size_t have, left;         /* of frame_head; of the preface or the frame's payload to come */
  bool began;                /* the preface has come */
  bool in_head;              /* a field block is not complete yet */
  bool ends_head;            /* and this frame ends it */
  unsigned heads;            /* field blocks begun */
  int continuations;         /* of this one */
  uint32_t last_id;          /* the highest stream opened */
  uint32_t gap_from, gap_to; /* the last streams left out: they may not be opened any more */
};

void http2_guard_init(struct http2_guard *g, const struct config *config);
/* More bytes of the connection, from its preface on. Stops behind the frame head of the last of
 * `heads_most` field blocks that begin; *bytes is what it has not looked at. */
struct http2_verdict http2_guard_feed(struct http2_guard *g, struct slice *bytes,
                                      unsigned heads_most, usec_t now);
/* The client has made us reset a stream. */
struct http2_verdict http2_guard_reset(struct http2_guard *g, usec_t now);

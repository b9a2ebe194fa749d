#include "proxy/client/http2_guard.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "proxy/config/config.h"

enum {
  FRAME_BYTES_MAX = 16384, /* we never allow more (RFC 9113, 6.5.2) */
  SETTING_BYTES = 6,
  STREAM_ID_MASK = 0x7fffffff,
};

struct frame {
  uint32_t length, stream;
  uint8_t type, flags;
};

static const struct http2_verdict fine = {LIMIT_NONE, NGHTTP2_NO_ERROR};

static struct http2_verdict calm(enum client_limit limit) {
  return (struct http2_verdict){limit, NGHTTP2_ENHANCE_YOUR_CALM};
}

static struct http2_verdict wrong(uint32_t code) {
  return (struct http2_verdict){LIMIT_HTTP2_FRAMES, code};
}

static const char preface[HTTP2_PREFACE_BYTES + 1] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

void http2_guard_init(struct http2_guard *g, const struct config *config) {
  *g = (struct http2_guard){
      .limits = {.resets_burst = (int32_t)config->http2_resets_burst,
                 .resets_per_s = (int32_t)config->http2_resets_per_s,
                 .control_burst = (int32_t)config->http2_control_burst,
                 .control_per_s = (int32_t)config->http2_control_per_s,
                 .continuations_max = (int32_t)config->http2_continuations_max,
                 .settings_max = (int32_t)config->http2_settings_max},
      .left = HTTP2_PREFACE_BYTES,
  };
}

struct http2_verdict http2_guard_reset(struct http2_guard *g, usec_t now) {
  usec_t wait = allowance_draw(&g->resets, now, g->limits.resets_burst, g->limits.resets_per_s);
  return wait ? calm(LIMIT_HTTP2_RESETS) : fine;
}

static struct http2_verdict control(struct http2_guard *g, usec_t now) {
  usec_t wait = allowance_draw(&g->control, now, g->limits.control_burst, g->limits.control_per_s);
  return wait ? calm(LIMIT_HTTP2_CONTROL) : fine;
}

/* nghttp2 takes a stream that was left out for one that is closed, and says nothing (RFC 9113,
 * 5.1.1). Of what was left out the last is remembered; clients leave out nothing. */
static struct http2_verdict head(struct http2_guard *g, const struct frame *f) {
  g->in_head = true;
  g->heads++;
  g->continuations = 0;
  if (f->stream >= g->gap_from && f->stream < g->gap_to)
    return wrong(NGHTTP2_PROTOCOL_ERROR);
  if (f->stream > g->last_id) {
    uint32_t next = g->last_id ? g->last_id + 2 : 1;
    if (f->stream > next) {
      g->gap_from = next;
      g->gap_to = f->stream;
    }
    g->last_id = f->stream;
  }
  return fine;
}

static struct http2_verdict continuation(struct http2_guard *g) {
  bool good = ++g->continuations <= g->limits.continuations_max;
  return good ? fine : calm(LIMIT_HTTP2_CONTINUATIONS);
}

static struct http2_verdict settings(struct http2_guard *g, const struct frame *f, usec_t now) {
  if (f->length > (uint64_t)g->limits.settings_max * SETTING_BYTES)
    return calm(LIMIT_HTTP2_SETTINGS);
  return control(g, now);
}

static struct http2_verdict frame_begins(struct http2_guard *g, const struct frame *f, usec_t now) {
  if (f->length > FRAME_BYTES_MAX) /* nghttp2 lets a CONTINUATION be larger */
    return wrong(NGHTTP2_FRAME_SIZE_ERROR);
  switch (f->type) {
  case NGHTTP2_HEADERS:
    return head(g, f);
  case NGHTTP2_CONTINUATION:
    return continuation(g);
  case NGHTTP2_RST_STREAM:
    return http2_guard_reset(g, now);
  case NGHTTP2_SETTINGS:
    return settings(g, f, now);
  case NGHTTP2_WINDOW_UPDATE: /* as many as we send bytes */
    return fine;
  case NGHTTP2_DATA:
    return f->length || (f->flags & NGHTTP2_FLAG_END_STREAM) ? fine : control(g, now);
  default:
    return control(g, now);
  }
}

static struct http2_verdict frame_head_read(struct http2_guard *g, usec_t now) {
  const unsigned char *h = g->frame_head;
  struct frame f = {
      .length = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2],
      .type = h[3],
      .flags = h[4],
      .stream = ((uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8]) &
                STREAM_ID_MASK,
  };
  g->have = 0;
  g->left = f.length;
  g->ends_head = (f.type == NGHTTP2_HEADERS || f.type == NGHTTP2_CONTINUATION) &&
                 (f.flags & NGHTTP2_FLAG_END_HEADERS);
  return frame_begins(g, &f, now);
}

static void frame_over(struct http2_guard *g) {
  g->began = true;
  if (g->ends_head)
    g->in_head = false;
}

struct http2_verdict http2_guard_feed(struct http2_guard *g, struct slice *bytes,
                                      unsigned heads_most, usec_t now) {
  struct http2_verdict v = fine;
  unsigned before = g->heads;
  while (bytes->len && v.limit == LIMIT_NONE && g->heads - before < heads_most) {
    size_t want = g->left ? g->left : HTTP2_FRAME_HEAD_BYTES - g->have;
    size_t n = bytes->len < want ? bytes->len : want;
    if (!g->began && memcmp(bytes->data, preface + HTTP2_PREFACE_BYTES - g->left, n) != 0) {
      return wrong(NGHTTP2_PROTOCOL_ERROR);
    } else if (g->left) {
      g->left -= n;
      if (g->left == 0)
        frame_over(g);
    } else {
      memcpy(g->frame_head + g->have, bytes->data, n);
      g->have += n;
      if (g->have == HTTP2_FRAME_HEAD_BYTES)
        v = frame_head_read(g, now);
      if (g->have == 0 && g->left == 0)
        frame_over(g);
    }
    *bytes = slice_skip(*bytes, n);
  }
  return v;
}

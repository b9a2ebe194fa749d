/* A PROXY header in front of everything else, TLS's handshake included: whoever sends one may send
 * more in the same segment, or the header in many. */
#include "lib/net/proxy_protocol.h"
#include "lib/net/transport.h"

static const struct transport_ops *behind(const struct transport *t) {
  return t->ssl ? &transport_tls : &transport_plain;
}

/* *rest is what follows the header; it is in `in`. */
static enum err header_read(struct transport *t, struct slice in, struct slice *rest) {
  struct proxy_header h;
  enum err e = proxy_header_read(in, &h);
  if (e)
    return e;
  *rest = slice_skip(in, h.len);
  t->ops = behind(t);
  t->events->on_header(t, &h);
  return OK;
}

static void header_take(struct transport *t, struct slice raw) {
  struct stash *stash = &t->header;
  enum err e = stash->len ? stash_append(stash, raw) : OK;
  struct slice rest = SLICE_NONE;
  if (!e)
    e = header_read(t, stash->len ? stash_slice(stash) : raw, &rest);
  if (e == ERR_AGAIN && (stash->len || (e = stash_append(stash, raw)) == OK))
    return;
  if (e)
    transport_fail(t, TRANSPORT_HEADER_BAD);
  else if (rest.len && !t->closed)
    t->ops->take(t, rest);
  stash_free(stash);
}

/* Before the first byte: a health check that only connects. */
static enum transport_end header_ended(struct transport *t) {
  return t->header.len ? TRANSPORT_HEADER_BAD : TRANSPORT_EOF;
}

/* Nobody knows yet to whom. */
static void header_put(struct transport *t, struct slice gathered, struct slice span) {
  transport_put_failed(t);
}

static void header_goodbye(struct transport *t) {
}

static void header_release(struct transport *t) {
  stash_free(&t->header);
  behind(t)->release(t);
}

static const struct transport_ops transport_header = {
    .take = header_take,
    .put = header_put,
    .ended = header_ended,
    .goodbye = header_goodbye,
    .release = header_release,
};

void transport_expect_header(struct transport *t) {
  t->ops = &transport_header;
  t->header = (struct stash)STASH_INIT(PROXY_V2_BYTES_MAX + LOOP_READ_BYTES);
}

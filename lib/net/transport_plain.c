#include "lib/net/transport.h"

static void plain_take(struct transport *t, struct slice raw) {
  t->events->on_bytes(t, raw);
}

static enum transport_end plain_ended(struct transport *t) {
  return TRANSPORT_EOF;
}

static void plain_goodbye(struct transport *t) {
}

static void plain_release(struct transport *t) {
}

const struct transport_ops transport_plain = {
    .take = plain_take,
    .put = transport_put_plain,
    .ended = plain_ended,
    .goodbye = plain_goodbye,
    .release = plain_release,
};

/* TLS 1.3 after its handshake, without the library's object; see records.h. */
#include "lib/net/records.h"
#include "lib/net/transport.h"

/* False: the connection cannot go on. */
static bool put_record(struct transport *t, enum record_type type, struct slice first,
                       struct slice second) {
  char *to = transport_make(t, first.len + second.len + RECORD_MORE_BYTES);
  size_t n = records_seal(t->loop->ciphers, t->records, type, first, second, to);
  t->loop->going_end += n;
  return n != 0;
}

static struct slice most_of(struct slice s, size_t room) {
  return slice_of(s.data, s.len < room ? s.len : room);
}

static void records_put(struct transport *t, struct slice gathered, struct slice span) {
  bool good = true;
  while (good && gathered.len + span.len) {
    struct slice first = most_of(gathered, RECORD_TEXT_BYTES_MAX);
    struct slice second = most_of(span, RECORD_TEXT_BYTES_MAX - first.len);
    good = put_record(t, RECORD_DATA, first, second);
    gathered = slice_skip(gathered, first.len);
    span = slice_skip(span, second.len);
  }
  if (good) {
    transport_commit(t);
    return;
  }
  t->loop->going_end = t->loop->going_bytes;
  transport_put_failed(t);
}

static void put_alert(struct transport *t, enum record_alert alert) {
  const char text[] = {alert == ALERT_CLOSE_NOTIFY ? 1 : 2, (char)alert};
  if (put_record(t, RECORD_ALERT, slice_of(text, sizeof text), SLICE_NONE))
    transport_commit(t);
}

/* As much as plain_scratch holds. OK: there may be more. */
static enum err open_some(struct transport *t, struct slice *raw, size_t *len,
                          enum record_alert *alert) {
  enum err e = OK;
  *len = 0;
  while (!e && LOOP_READ_BYTES - *len >= RECORD_OPEN_BYTES_MAX) {
    size_t n;
    e = records_read(t->loop->ciphers, t->records, raw, t->loop->plain_scratch + *len, &n, alert);
    *len += n;
  }
  return e;
}

static void records_take(struct transport *t, struct slice raw) {
  enum err e;
  do {
    size_t len;
    enum record_alert alert = ALERT_INTERNAL_ERROR;
    e = open_some(t, &raw, &len, &alert);
    if (e && e != ERR_AGAIN && e != ERR_CLOSED && alert != ALERT_CLOSE_NOTIFY)
      put_alert(t, alert);
    if (len && !t->ended)
      t->events->on_bytes(t, slice_of(t->loop->plain_scratch, len));
    if (t->closed || t->ended)
      return;
  } while (!e);
  if (e != ERR_AGAIN)
    transport_fail(t, e == ERR_CLOSED ? TRANSPORT_EOF : TRANSPORT_TLS_FAILED);
}

/* The socket ended without close_notify: somebody may have cut it. */
static enum transport_end records_ended(struct transport *t) {
  return TRANSPORT_CUT;
}

static void records_goodbye(struct transport *t) {
  put_alert(t, ALERT_CLOSE_NOTIFY);
}

static void records_release(struct transport *t) {
  t->records = records_free(t->loop->ciphers, t->records);
}

const struct transport_ops transport_records = {
    .take = records_take,
    .put = records_put,
    .ended = records_ended,
    .goodbye = records_goodbye,
    .release = records_release,
};

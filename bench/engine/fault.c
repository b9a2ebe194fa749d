#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fault.h"
#include "answer.h"
#include "listener.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAULT_VALUE_MAX = 1000 * 1000 };

static const struct {
  const char *name;
  long value; /* when none is given */
} faults[FAULT_COUNT] = {
    [FAULT_DIE_MID_STREAM] = {"die-mid-stream", 3},
    [FAULT_RESET_MID_STREAM] = {"reset-mid-stream", 3},
    [FAULT_DIE_PROCESS] = {"die-process", 3},
    [FAULT_NEVER] = {"never", 0},
    [FAULT_EARLY_CLOSE] = {"early-close", 0},
    [FAULT_SLOW_HEAD] = {"slow-head", 1000},
    [FAULT_SLOW_BODY] = {"slow-body", 1000},
    [FAULT_STATUS] = {"status", 500},
    [FAULT_BAD_HEAD] = {"bad-head", 0},
    [FAULT_REFUSE] = {"refuse", 1000},
    [FAULT_CLOSE_IDLE] = {"close-idle", 0},
};

static bool fault_add(struct faults *f, struct http_text item) {
  const char *equals = memchr(item.at, '=', item.len);
  struct http_text name = {item.at, equals ? (size_t)(equals - item.at) : item.len};
  uint64_t value = 0;
  if (equals && (!http_number((struct http_text){equals + 1, item.len - name.len - 1}, &value) ||
                 value > FAULT_VALUE_MAX))
    return false;
  for (int i = 0; i < FAULT_COUNT; i++) {
    if (!http_text_is(name, faults[i].name))
      continue;
    f->asked |= 1u << i;
    f->value[i] = equals ? (long)value : faults[i].value;
    return i != FAULT_STATUS || (f->value[i] >= 200 && f->value[i] <= 599);
  }
  return false;
}

bool fault_parse(struct faults *f, struct http_text list) {
  const char *end = list.at + list.len;
  for (const char *at = list.at; at < end;) {
    const char *comma = memchr(at, ',', (size_t)(end - at));
    const char *stop = comma ? comma : end;
    if (!fault_add(f, http_trim(at, stop)))
      return false;
    at = stop + 1;
  }
  return true;
}

bool fault_will_cut(const struct faults *f) {
  return f->asked &
         (1u << FAULT_DIE_MID_STREAM | 1u << FAULT_RESET_MID_STREAM | 1u << FAULT_DIE_PROCESS);
}

bool fault_cuts(const struct faults *f, long tokens) {
  static const enum fault cutting[] = {FAULT_DIE_MID_STREAM, FAULT_RESET_MID_STREAM,
                                       FAULT_DIE_PROCESS};
  for (int i = 0; i < 3; i++)
    if (fault_has(f, cutting[i]) && tokens >= f->value[cutting[i]])
      return true;
  return false;
}

/* Without lingering, closing sends a reset instead of an orderly end. */
void fault_cut(struct conn *c) {
  if (c->state == CONN_CLOSED)
    return;
  if (fault_has(&c->req.faults, FAULT_DIE_PROCESS))
    _exit(1);
  struct linger none = {1, 0};
  if (fault_has(&c->req.faults, FAULT_RESET_MID_STREAM))
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
  conn_close(c, "fault");
}

static void fault_bad_head(struct conn *c) {
  buf_text(&c->out, "HTP/one.1 2xx\x01 what\nthis is no: header\x02\r\n\r\n");
  conn_flush(c);
  conn_close(c, "fault");
}

static void fault_status(struct conn *c) {
  answer_error(c, (int)c->req.faults.value[FAULT_STATUS], "The request asked for this status.");
}

/* Each fault is played once: what is left of the request's list is asked about again. */
static bool fault_take(struct faults *f, enum fault which) {
  bool has = fault_has(f, which);
  f->asked &= ~(1u << which);
  return has;
}

bool fault_before(struct conn *c) {
  struct faults *f = &c->req.faults;
  if (!f->asked)
    return false;
  if (fault_take(f, FAULT_REFUSE))
    listener_refuse((uint64_t)f->value[FAULT_REFUSE] * 1000);
  if (fault_take(f, FAULT_SLOW_HEAD))
    request_later(c, (uint64_t)f->value[FAULT_SLOW_HEAD] * 1000, request_answer);
  else if (fault_has(f, FAULT_EARLY_CLOSE))
    conn_close(c, "fault");
  else if (fault_has(f, FAULT_BAD_HEAD))
    fault_bad_head(c);
  else if (fault_take(f, FAULT_STATUS))
    fault_status(c);
  else
    return fault_has(f, FAULT_NEVER);
  return true;
}

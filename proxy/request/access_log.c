#include "proxy/request/access_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/net/loop.h"
#include "proxy/config/config.h"
#include "proxy/request/fleet.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

enum { FLUSH_AFTER_US = 200 * 1000 };

struct access_log {
  struct loop *loop;
  int fd;
  struct timer timer;
  cell_t *dropped;
  bool torn; /* the last line written has no end */
  struct buf line;
  time_t second; /* of the date */
  char date[40];
  size_t len;
  char lines[ACCESS_LOG_BUFFER_BYTES];
};

static void flush_due(struct timer *t) {
  access_log_flush(container_of(t, struct access_log, timer));
}

struct access_log *access_log_new(struct loop *loop, int fd, cell_t *dropped) {
  struct access_log *l = calloc(1, sizeof *l);
  if (!l)
    return NULL;
  l->loop = loop;
  l->fd = fd;
  l->dropped = dropped;
  l->line = (struct buf)BUF_INIT(ACCESS_LOG_LINE_BYTES);
  timer_init(&l->timer, flush_due);
  return l;
}

struct access_log *access_log_free(struct access_log *l) {
  if (!l)
    return NULL;
  access_log_flush(l);
  buf_free(&l->line);
  free(l);
  return NULL;
}

/* Only what lies before `written` has been. A line cut in two is ended when there is room
 * again, so that the one behind it is whole. */
static void lost(struct access_log *l, size_t written) {
  int64_t lines = 0;
  for (size_t i = written; i < l->len; i++)
    lines += l->lines[i] == '\n';
  cell_add(l->dropped, lines);
  if (written && l->lines[written - 1] != '\n')
    l->torn = true;
}

void access_log_flush(struct access_log *l) {
  timer_cancel(l->loop, &l->timer);
  if (l->torn && l->len && write(l->fd, "\n", 1) == 1)
    l->torn = false;
  size_t done = 0;
  while (done < l->len) {
    ssize_t n = write(l->fd, l->lines + done, l->len - done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    done += (size_t)n;
  }
  if (done < l->len)
    lost(l, done);
  l->len = 0;
}

static void put_text(struct buf *b, struct slice key, struct slice value) {
  buf_add(b, key);
  if (value.data)
    buf_json(b, value);
  else
    buf_add(b, SLICE("null"));
}

static void put_number(struct buf *b, struct slice key, uint64_t value) {
  buf_add(b, key);
  buf_number(b, value, 1);
}

static void put_ms(struct buf *b, struct slice key, usec_t us) {
  put_number(b, key, us > 0 ? (uint64_t)us / 1000 : 0);
  buf_add(b, SLICE("."));
  buf_number(b, us > 0 ? (uint64_t)us % 1000 : 0, 3);
}

/* The date is made once a second. */
static void put_time(struct access_log *l, struct buf *b) {
  usec_t now = clock_wall();
  time_t seconds = now / USEC_PER_S;
  if (seconds != l->second) {
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(l->date, sizeof l->date, "{\"time\":\"%Y-%m-%dT%H:%M:%S.", &tm);
    l->second = seconds;
  }
  buf_str(b, l->date);
  buf_number(b, (uint64_t)(now / 1000 % 1000), 3);
  buf_add(b, SLICE("Z\""));
}

static usec_t since(usec_t at, usec_t from) {
  return at && from ? at - from : 0;
}

static void line_write(struct access_log *l, const struct request *r) {
  struct buf *b = &l->line;
  buf_clear(b);
  put_time(l, b);
  put_text(b, SLICE(",\"id\":"), r->id);
  put_text(b, SLICE(",\"endpoint\":"), r->endpoint ? r->endpoint->name : SLICE_NONE);
  put_text(b, SLICE(",\"replica\":"), r->replica ? slice_str(r->replica->shared->id) : SLICE_NONE);
  put_text(b, SLICE(",\"token\":"), r->token_name);
  put_text(b, SLICE(",\"client\":"), slice_str(r->peer_text));
  put_text(b, SLICE(",\"protocol\":"), r->http2 ? SLICE("HTTP/2") : SLICE("HTTP/1.1"));
  put_text(b, SLICE(",\"method\":"), r->head.method_text);
  put_text(b, SLICE(",\"path\":"), r->path);
  put_number(b, SLICE(",\"status\":"), (uint64_t)r->status);
  put_number(b, SLICE(",\"bytes_in\":"), r->request_pipe.total);
  put_number(b, SLICE(",\"bytes_out\":"), r->response_pipe.total);
  put_ms(b, SLICE(",\"held_ms\":"), r->hold_us);
  put_ms(b, SLICE(",\"connect_ms\":"), since(r->connected_us, r->connect_began_us));
  put_ms(b, SLICE(",\"first_byte_ms\":"), since(r->first_byte_us, r->begun_us));
  put_ms(b, SLICE(",\"total_ms\":"), loop_now(r->worker->loop) - r->begun_us);
  put_text(b, SLICE(",\"ended\":"), slice_str(ending_word(r->ending)));
  if (r->failure && r->ending != END_COMPLETE)
    put_text(b, SLICE(",\"error\":"), slice_str(failure_of(r->failure)->code));
  buf_add(b, SLICE("}\n"));
}

void access_log_request(struct access_log *l, const struct request *r) {
  const char *path = r->worker->config->log.access;
  if (!path || !*path)
    return;
  line_write(l, r);
  if (l->line.failed) {
    buf_clear(&l->line);
    cell_add(l->dropped, 1);
    return;
  }
  if (l->len + l->line.len > sizeof l->lines)
    access_log_flush(l);
  memcpy(l->lines + l->len, l->line.data, l->line.len);
  if (l->len == 0 && timer_set(l->loop, &l->timer, loop_now(l->loop) + FLUSH_AFTER_US) != OK)
    access_log_flush(l);
  l->len += l->line.len;
}

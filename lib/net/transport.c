#include "lib/net/transport.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  OUT_VECTORS = 64,
  DIRECT_BYTES = 16 * 1024, /* a span of this size goes out at once: a copy less */
  UNSURE_US = 250 * 1000,
};

void transport_fail(struct transport *t, enum transport_end end) {
  if (t->ended || t->closed)
    return;
  t->ended = true;
  t->events->on_end(t, end);
}

static void read_again_later(struct transport *t) {
  t->may_read = true;
  loop_post(t->loop, &t->read_post);
}

/* Noticed by the reading side, so that nobody is called back from within a send. */
void transport_put_failed(struct transport *t) {
  t->write_failed = true;
  t->may_write = false;
  chunkq_clear(&t->out, t->loop->chunks);
  read_again_later(t);
}

static void queue_raw(struct transport *t, struct slice raw) {
  if (raw.len && !t->write_failed && chunkq_append(&t->out, t->loop->chunks, raw) != OK)
    transport_put_failed(t);
}

static ssize_t send_both(int fd, struct slice first, struct slice second) {
  if (second.len == 0)
    return send(fd, first.data, first.len, MSG_NOSIGNAL);
  struct iovec iov[] = {{(void *)first.data, first.len}, {(void *)second.data, second.len}};
  bool both = first.len != 0;
  struct msghdr m = {.msg_iov = both ? iov : iov + 1, .msg_iovlen = both ? 2 : 1};
  return sendmsg(fd, &m, MSG_NOSIGNAL);
}

void transport_put_raw(struct transport *t, struct slice first, struct slice second) {
  if (t->write_failed || t->closed)
    return;
  if (chunkq_empty(&t->out) && t->may_write) {
    ssize_t n = send_both(t->fd, first, second);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      transport_put_failed(t);
      return;
    }
    size_t sent = n > 0 ? (size_t)n : 0;
    t->bytes_out += sent;
    t->may_write = sent == first.len + second.len;
    second = slice_skip(second, sent > first.len ? sent - first.len : 0);
    first = slice_skip(first, sent);
  }
  queue_raw(t, first);
  queue_raw(t, second);
}

/* What this turn's sends have gathered, and a span behind it. */
static void put_with(struct transport *t, struct slice span) {
  struct loop *l = t->loop;
  struct slice gathered = SLICE_NONE;
  if (l->writer == t) {
    gathered = slice_of(l->write_scratch, l->write_len);
    l->writer = NULL;
    l->write_len = 0;
  }
  if (gathered.len + span.len && !t->write_failed)
    t->ops->put(t, gathered, span);
}

static void put_gathered(struct transport *t) {
  put_with(t, SLICE_NONE);
}

static void put_queued(struct transport *t) {
  while (t->may_write && !chunkq_empty(&t->out)) {
    struct iovec iov[OUT_VECTORS];
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)chunkq_iov(&t->out, iov, OUT_VECTORS)};
    ssize_t n = sendmsg(t->fd, &m, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      t->may_write = false;
    } else if (n < 0 && errno != EINTR) {
      transport_put_failed(t);
    } else if (n > 0) {
      t->bytes_out += (uint64_t)n;
      chunkq_drop(&t->out, t->loop->chunks, (size_t)n);
    }
  }
}

size_t transport_pending(const struct transport *t) {
  return t->out.len + (t->loop->writer == t ? t->loop->write_len : 0);
}

bool transport_full(struct transport *t) {
  if (transport_pending(t) < TRANSPORT_PENDING_HIGH)
    return false;
  t->was_full = true;
  return true;
}

static void flush_run(struct post *p) {
  struct transport *t = container_of(p, struct transport, flush_post);
  if (t->closed || t->connecting)
    return;
  t->more_soon = false;
  put_gathered(t);
  put_queued(t);
  if (transport_pending(t) || t->write_failed)
    return;
  if (t->finishing && !t->write_ended) {
    t->write_ended = true; /* each shutdown(2) makes an event, which would come back to here */
    shutdown(t->fd, SHUT_WR);
  }
  if (t->was_full) {
    t->was_full = false;
    t->events->on_drained(t);
  }
}

void transport_more_soon(struct transport *t, bool more) {
  t->more_soon = more && !t->ssl;
}

/* Another connection wants to write: this one's bytes go out, or wait in its queue. */
static void step_aside(struct transport *t) {
  struct loop *l = t->loop;
  if (t->more_soon &&
      chunkq_append(&t->out, l->chunks, slice_of(l->write_scratch, l->write_len)) == OK)
    l->write_len = 0;
  put_gathered(t);
}

static void gather(struct transport *t, struct slice bytes) {
  struct loop *l = t->loop;
  while (bytes.len) {
    size_t room = LOOP_WRITE_BYTES - l->write_len, n = bytes.len < room ? bytes.len : room;
    l->writer = t;
    memcpy(l->write_scratch + l->write_len, bytes.data, n);
    l->write_len += n;
    bytes = slice_skip(bytes, n);
    if (l->write_len == LOOP_WRITE_BYTES)
      put_gathered(t);
  }
}

enum err transport_send(struct transport *t, const struct iovec *iov, int count) {
  struct loop *l = t->loop;
  if (t->closed || t->write_failed)
    return ERR_CLOSED;
  if (l->writer && l->writer != t)
    step_aside(l->writer);
  for (int i = 0; i < count; i++) {
    struct slice bytes = slice_of(iov[i].iov_base, iov[i].iov_len);
    if (bytes.len >= DIRECT_BYTES)
      put_with(t, bytes);
    else
      gather(t, bytes);
  }
  loop_flush_later(l, &t->flush_post);
  return t->write_failed ? ERR_CLOSED : OK;
}

static void end_of_input(struct transport *t, bool orderly) {
  transport_fail(t, orderly ? t->ops->ended(t) : TRANSPORT_CUT);
}

static void look_at_end(struct transport *t);
static void read_on(struct transport *t);

static bool peer_is_gone(const struct transport *t) {
  struct pollfd p = {.fd = t->fd, .events = POLLRDHUP};
  return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLRDHUP));
}

static void unsure_due(struct timer *timer) {
  struct loop *l = container_of(timer, struct loop, unsure_timer);
  usec_t before = loop_now(l) - UNSURE_US;
  while (!list_empty(&l->unsure)) {
    struct transport *t = container_of(l->unsure.next, struct transport, unsure_node);
    if (t->unsure_us > before && timer_set(l, &l->unsure_timer, t->unsure_us + UNSURE_US) == OK)
      return;
    list_remove(&t->unsure_node);
    if (!peer_is_gone(t))
      continue;
    t->may_read = t->peer_ended = true;
    look_at_end(t);
    read_on(t);
  }
}

/* A reset that came together with the last bytes has been reported with them, and
 * libevent hides it: after a short read nothing more would ever be heard. Rather
 * than one more read(2) each time, whoever has been silent since is looked at once. */
static void be_unsure(struct transport *t) {
  struct loop *l = t->loop;
  t->unsure_us = loop_now(l);
  list_remove(&t->unsure_node);
  list_push_back(&l->unsure, &t->unsure_node);
  if (heap_has(&l->unsure_timer.node))
    return;
  timer_init(&l->unsure_timer, unsure_due);
  if (timer_set(l, &l->unsure_timer, t->unsure_us + UNSURE_US) != OK)
    list_remove(&t->unsure_node);
}

/* False when there is nothing more to read for now. */
static bool read_once(struct transport *t, size_t *budget) {
  size_t room = t->read_most ? t->read_most : LOOP_READ_BYTES;
  ssize_t n = recv(t->fd, t->loop->read_scratch, room, 0);
  if (n < 0 && errno == EINTR)
    return true;
  if (n < 0 && errno == EAGAIN) {
    t->may_read = false;
    return false;
  }
  if (n <= 0) {
    t->may_read = false;
    end_of_input(t, n == 0);
    return false;
  }
  t->bytes_in += (uint64_t)n;
  if ((size_t)n < room && !t->peer_ended) {
    t->may_read = false;
    be_unsure(t);
  }
  *budget -= (size_t)n < *budget ? (size_t)n : *budget;
  if (!t->finishing)
    t->ops->take(t, slice_of(t->loop->read_scratch, (size_t)n));
  return t->may_read;
}

static void read_on(struct transport *t) {
  size_t budget = TRANSPORT_TURN_BYTES;
  while (!t->paused && !t->closed && !t->ended && t->may_read) {
    if (budget == 0) {
      loop_post(t->loop, &t->read_post);
      return;
    }
    if (!read_once(t, &budget))
      return;
  }
}

/* A client that has gone is noticed while its request waits. */
static void look_at_end(struct transport *t) {
  if (t->write_failed)
    transport_fail(t, TRANSPORT_CUT);
  else if (t->paused && t->peer_ended && !t->keep_buffered)
    transport_fail(t, TRANSPORT_EOF);
}

static void read_run(struct post *p) {
  struct transport *t = container_of(p, struct transport, read_post);
  if (t->closed || t->ended || t->connecting)
    return;
  look_at_end(t);
  read_on(t);
}

/* False when the connection did not come about. */
static bool connect_result(struct transport *t) {
  int error = 0;
  socklen_t len = sizeof error;
  if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) || error) {
    transport_fail(t, TRANSPORT_CUT);
    return false;
  }
  t->connecting = false;
  t->ready = true;
  t->events->on_ready(t);
  return !t->closed;
}

static void on_event(evutil_socket_t fd, short what, void *user) {
  struct transport *t = user;
  if (what & EV_READ)
    t->may_read = true;
  if (what & EV_CLOSED)
    t->may_read = t->peer_ended = true;
  if (what & EV_WRITE) {
    t->may_write = true;
    if (t->connecting && !connect_result(t))
      return;
    loop_flush_later(t->loop, &t->flush_post);
  }
  if (t->connecting || t->closed || t->ended)
    return;
  look_at_end(t);
  read_on(t);
}

enum err transport_open(struct transport *t, struct loop *loop, int fd, struct ssl_st *ssl,
                        bool connecting, const struct transport_events *events) {
  memset(t, 0, sizeof *t);
  t->ops = ssl ? &transport_tls : &transport_plain;
  t->events = events;
  t->loop = loop;
  t->fd = fd;
  t->ssl = ssl;
  t->connecting = connecting;
  t->ready = !connecting && !ssl;
  t->may_write = !connecting;
  post_init(&t->read_post, read_run);
  post_init(&t->flush_post, flush_run);
  list_init(&t->unsure_node);
  t->event =
      event_new(loop->base, fd, EV_READ | EV_WRITE | EV_CLOSED | EV_PERSIST | EV_ET, on_event, t);
  if (!t->event || event_add(t->event, NULL))
    return ERR_MEMORY;
  return ssl ? transport_tls_open(t) : OK;
}

void transport_keep_buffered(struct transport *t) {
  t->keep_buffered = true;
}

void transport_pause(struct transport *t) {
  t->paused = true;
}

void transport_resume(struct transport *t) {
  if (!t->paused)
    return;
  t->paused = false;
  if (t->may_read)
    loop_post(t->loop, &t->read_post);
}

void transport_finish(struct transport *t) {
  if (t->closed || t->finishing)
    return;
  put_gathered(t);
  t->ops->goodbye(t);
  t->finishing = true;
  transport_resume(t);
  loop_flush_later(t->loop, &t->flush_post);
}

static void reset_on_close(int fd) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void transport_close(struct transport *t, bool abort) {
  if (t->closed)
    return;
  if (abort)
    reset_on_close(t->fd);
  else
    put_gathered(t);
  t->closed = true;
  if (t->loop->writer == t) {
    t->loop->writer = NULL;
    t->loop->write_len = 0;
  }
  post_cancel(&t->read_post);
  post_cancel(&t->flush_post);
  list_remove(&t->unsure_node);
  if (t->event)
    event_free(t->event);
  t->event = NULL;
  t->ops->release(t);
  chunkq_clear(&t->out, t->loop->chunks);
  close(t->fd);
}

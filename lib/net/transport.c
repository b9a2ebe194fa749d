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
  SHARE_BYTES =
      LOOP_READ_BYTES / BATCH_OPS - 64, /* of the scratch; not all in the same cache sets */
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

/* What of `bytes` the socket did not take waits. */
static void sent(struct transport *t, struct slice bytes, ssize_t n) {
  if (n < 0 && n != -EAGAIN && n != -EINTR) {
    transport_put_failed(t);
    return;
  }
  size_t taken = n > 0 ? (size_t)n : 0;
  t->bytes_out += taken;
  t->may_write = taken == bytes.len;
  queue_raw(t, slice_skip(bytes, taken));
}

void transport_put_out(struct loop *l) {
  struct batch_op ops[BATCH_OPS];
  int count = l->going_count;
  size_t at = 0;
  for (int i = 0; i < count; at += l->going[i++].len)
    ops[i] = (struct batch_op){.fd = l->going[i].to->fd,
                               .write = true,
                               .bytes = l->going_scratch + at,
                               .len = l->going[i].len};
  batch_run(l->batch, ops, count);
  for (int i = 0; i < count; i++) {
    struct transport *t = l->going[i].to;
    t->going = 0;
    sent(t, slice_of(ops[i].bytes, ops[i].len), ops[i].result);
    if ((t->finishing && !t->write_ended) || t->was_full)
      loop_flush_later(l, &t->flush_post);
  }
  l->going_count = 0;
  l->going_end -= at;
  l->going_bytes = 0;
  memmove(l->going_scratch, l->going_scratch + at, l->going_end);
}

static void going_join(struct transport *t, size_t len) {
  struct loop *l = t->loop;
  struct loop_going *last = l->going_count ? &l->going[l->going_count - 1] : NULL;
  if (last && last->to == t)
    last->len += len;
  else
    l->going[l->going_count++] = (struct loop_going){t, len};
  t->going += len;
  l->going_bytes = l->going_end;
  if (l->going_count == BATCH_OPS || t->going >= DIRECT_BYTES)
    transport_put_out(l);
}

static struct slice made(const struct loop *l) {
  return slice_of(l->going_scratch + l->going_bytes, l->going_end - l->going_bytes);
}

char *transport_make(struct transport *t, size_t n) {
  struct loop *l = t->loop;
  if (l->going_end + n > LOOP_WRITE_BYTES) {
    transport_commit(t);
    transport_put_out(l);
  }
  return l->going_scratch + l->going_end;
}

void transport_commit(struct transport *t) {
  struct loop *l = t->loop;
  if (made(l).len == 0)
    return;
  if (t->going && l->going[l->going_count - 1].to != t) /* order */
    transport_put_out(l);
  if (t->may_write && chunkq_empty(&t->out) && !t->write_failed && !t->closed) {
    going_join(t, made(l).len);
    return;
  }
  if (!t->closed)
    queue_raw(t, made(l));
  l->going_end = l->going_bytes;
}

static void make(struct loop *l, struct slice bytes) {
  if (bytes.len)
    memcpy(l->going_scratch + l->going_end, bytes.data, bytes.len);
  l->going_end += bytes.len;
}

static void put_direct(struct transport *t, struct slice first, struct slice second) {
  if (t->going)
    transport_put_out(t->loop);
  if (t->write_failed || t->closed)
    return;
  if (chunkq_empty(&t->out) && t->may_write) {
    ssize_t n = send_both(t->fd, first, second);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      transport_put_failed(t);
      return;
    }
    size_t taken = n > 0 ? (size_t)n : 0;
    t->bytes_out += taken;
    t->may_write = taken == first.len + second.len;
    second = slice_skip(second, taken > first.len ? taken - first.len : 0);
    first = slice_skip(first, taken);
  }
  queue_raw(t, first);
  queue_raw(t, second);
}

void transport_put_plain(struct transport *t, struct slice first, struct slice second) {
  if (first.len + second.len >= DIRECT_BYTES) {
    put_direct(t, first, second);
    return;
  }
  make(t->loop, first);
  make(t->loop, second);
  transport_commit(t);
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
  struct loop *l = t->loop;
  if (t->may_write && t->out.len < DIRECT_BYTES) {
    l->going_end += chunkq_take(&t->out, l->chunks, l->going_scratch + l->going_end, t->out.len);
    transport_commit(t);
    return;
  }
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
  return t->out.len + t->going + (t->loop->writer == t ? t->loop->write_len : 0);
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
  t->more_soon = more && t->ops == &transport_plain;
}

/* Another connection wants to write: this one's bytes go out, or wait in its queue. */
static void step_aside(struct transport *t) {
  struct loop *l = t->loop;
  if (t->more_soon && t->going)
    transport_put_out(l);
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

/* What a read of `room` bytes at `bytes` has brought. False when there is nothing more to read for
 * now. */
static bool take_in(struct transport *t, const char *bytes, size_t room, ssize_t n) {
  if (n == -EINTR)
    return true;
  if (n <= 0) {
    t->may_read = false;
    if (n != -EAGAIN)
      end_of_input(t, n == 0);
    return false;
  }
  t->bytes_in += (uint64_t)n;
  t->bulk = n >= SHARE_BYTES;
  if ((size_t)n < room && !t->peer_ended) {
    t->may_read = false;
    be_unsure(t);
  }
  if (!t->finishing)
    t->ops->take(t, slice_of(bytes, (size_t)n));
  return t->may_read;
}

static bool wants_to_read(const struct transport *t) {
  return !t->paused && !t->closed && !t->ended && t->may_read;
}

static size_t read_room(const struct transport *t, size_t scratch) {
  return t->read_most && t->read_most < scratch ? t->read_most : scratch;
}

static void read_on(struct transport *t) {
  size_t budget = TRANSPORT_TURN_BYTES;
  char *scratch = t->loop->read_scratch;
  while (wants_to_read(t)) {
    if (budget == 0) {
      loop_post(t->loop, &t->read_post);
      return;
    }
    size_t room = read_room(t, LOOP_READ_BYTES);
    ssize_t n = recv(t->fd, scratch, room, 0);
    budget -= n < 0 ? 0 : (size_t)n < budget ? (size_t)n : budget;
    if (!take_in(t, scratch, room, n < 0 ? -errno : n))
      return;
  }
}

/* Bytes of one may be the end of another. */
static void read_together(struct loop *l, int count) {
  struct batch_op ops[BATCH_OPS];
  for (int i = 0; i < count; i++)
    ops[i] = (struct batch_op){.fd = l->reading[i]->fd,
                               .bytes = l->read_scratch + i * SHARE_BYTES,
                               .len = read_room(l->reading[i], SHARE_BYTES)};
  batch_run(l->batch, ops, count);
  for (int i = 0; i < count; i++) {
    struct transport *t = l->reading[i];
    l->reading[i] = NULL;
    if (t && !t->ended && take_in(t, ops[i].bytes, ops[i].len, ops[i].result))
      loop_post(l, &t->read_post);
  }
}

/* Up to BATCH_OPS that read little; who reads much has the scratch for itself, afterwards. */
static int choose_readers(struct loop *l, struct list *bulk) {
  int count = 0;
  while (count < BATCH_OPS && !list_empty(&l->readable)) {
    struct transport *t = container_of(list_pop_front(&l->readable), struct transport, ready_node);
    if (wants_to_read(t) && !t->bulk)
      l->reading[count++] = t;
    else if (wants_to_read(t))
      list_push_back(bulk, &t->ready_node);
  }
  return count;
}

void transport_read_ready(struct loop *l) {
  struct list bulk;
  list_init(&bulk);
  while (!list_empty(&l->readable)) {
    int count = choose_readers(l, &bulk);
    if (count > 1) {
      read_together(l, count);
    } else if (count) {
      struct transport *t = l->reading[0];
      l->reading[0] = NULL;
      read_on(t);
    }
  }
  while (!list_empty(&bulk))
    read_on(container_of(list_pop_front(&bulk), struct transport, ready_node));
}

static void forget_reading(struct transport *t) {
  list_remove(&t->ready_node);
  for (int i = 0; i < BATCH_OPS; i++)
    if (t->loop->reading[i] == t)
      t->loop->reading[i] = NULL;
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
  if ((what & EV_WRITE) && !t->may_write) { /* it is also said with what can be read */
    t->may_write = true;
    if (t->connecting && !connect_result(t))
      return;
    loop_flush_later(t->loop, &t->flush_post);
  }
  if (t->connecting || t->closed || t->ended)
    return;
  look_at_end(t);
  if (wants_to_read(t) && list_empty(&t->ready_node)) {
    t->loop->arrivals += !t->bulk;
    list_push_back(&t->loop->readable, &t->ready_node);
  }
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
  list_init(&t->ready_node);
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
  if (t->going)
    transport_put_out(t->loop);
  t->closed = true;
  if (t->loop->writer == t) {
    t->loop->writer = NULL;
    t->loop->write_len = 0;
  }
  post_cancel(&t->read_post);
  post_cancel(&t->flush_post);
  list_remove(&t->unsure_node);
  forget_reading(t);
  if (t->event)
    event_free(t->event);
  t->event = NULL;
  t->ops->release(t);
  chunkq_clear(&t->out, t->loop->chunks);
  close(t->fd);
}

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_OF_TIMER(t) ((struct conn *)((char *)(t)-offsetof(struct conn, timer)))

static struct conn *all, *closed, *spare;

static void conn_run(struct conn *c);

/* After an answer. A connection that has not been used yet is not idle, but waited for: whoever
 * has just opened it must not find it closed. */
static void conn_arm_idle(struct conn *c) {
  if (!engine.options.keepalive_ms)
    return;
  c->idle_until_us = engine.now_us + (uint64_t)engine.options.keepalive_ms * 1000;
  if (!timer_is_set(&c->timer) || c->timer.at_us > c->idle_until_us)
    timer_set(&c->timer, c->idle_until_us);
}

/* An idle deadline is not moved at every request: a timer that fires too early is set again. */
static void conn_idle(struct conn *c) {
  if (!engine.options.keepalive_ms)
    return;
  if (engine.now_us >= c->idle_until_us)
    conn_close(c, NULL);
  else
    timer_set(&c->timer, c->idle_until_us);
}

static void conn_timer(struct timer *t) {
  struct conn *c = CONN_OF_TIMER(t);
  void (*resume)(struct conn *) = c->req.resume;
  if (c->state == CONN_HEAD)
    conn_idle(c);
  else if (c->state == CONN_LINGER)
    conn_close(c, NULL);
  else if (resume) {
    c->req.resume = NULL;
    resume(c);
  }
  conn_run(c);
}

static void conn_writable(struct conn *c) {
  conn_flush(c);
  if (c->state == CONN_ANSWER && !buf_len(&c->out) && c->req.drained)
    c->req.drained(c);
}

static void conn_event(struct source *s, uint32_t events) {
  struct conn *c = (struct conn *)s;
  if (c->state == CONN_CLOSED)
    return;
  if (events & EPOLLOUT && buf_len(&c->out))
    conn_writable(c);
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
    c->readable = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
    c->hung_up = true;
  conn_run(c);
}

static void conn_put_spare(struct conn *c) {
  c->next = spare;
  spare = c;
}

static struct conn *conn_new(void) {
  struct conn *c = spare;
  if (c)
    spare = c->next;
  else
    c = calloc(1, sizeof(*c));
  return c;
}

void conn_open(int fd) {
  struct conn *c = conn_new();
  struct epoll_event e = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = c}};
  if (!c || epoll_ctl(engine.epoll, EPOLL_CTL_ADD, fd, &e)) {
    if (c)
      conn_put_spare(c);
    close(fd);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  c->source.event = conn_event;
  c->timer.fire = conn_timer;
  c->fd = fd;
  c->state = CONN_HEAD;
  c->readable = c->hung_up = false;
  c->prev = NULL;
  c->next = all;
  if (all)
    all->prev = c;
  all = c;
}

static void conn_unlink(struct conn *c) {
  if (c->prev)
    c->prev->next = c->next;
  else
    all = c->next;
  if (c->next)
    c->next->prev = c->prev;
  c->prev = NULL;
  c->next = closed;
  closed = c;
}

void conn_close(struct conn *c, const char *event) {
  if (c->state == CONN_CLOSED)
    return;
  c->state = CONN_CLOSED;
  timer_clear(&c->timer);
  if (c->req.open)
    request_drop(c, event);
  conn_unlink(c);
  close(c->fd);
}

void conn_linger(struct conn *c) {
  conn_flush(c);
  if (c->state == CONN_CLOSED)
    return;
  c->state = CONN_LINGER;
  buf_clear(&c->in);
  shutdown(c->fd, SHUT_WR);
  timer_set(&c->timer, engine.now_us + CONN_LINGER_MS * 1000);
}

/* Reads once. False when there is nothing more for now. */
static bool conn_fill(struct conn *c) {
  size_t room = c->state == CONN_HEAD ? CONN_READ_BYTES : CONN_READ_BODY_BYTES;
  char *at = buf_reserve(&c->in, room);
  ssize_t n = read(c->fd, at, room);
  if (n < 0 && errno == EINTR)
    return true;
  /* A short read means drained, unless the other side has hung up: then its end follows. */
  if (n < (ssize_t)room && !c->hung_up)
    c->readable = false;
  if (n < 0 && errno == EAGAIN) {
    c->readable = false;
    return false;
  }
  if (n <= 0) {
    conn_close(c, "abort");
    return false;
  }
  c->in.end += (size_t)n;
  c->turn_bytes += (size_t)n;
  return true;
}

static bool conn_step(struct conn *c) {
  switch (c->state) {
  case CONN_HEAD:
    return buf_len(&c->in) && request_read_head(c);
  case CONN_BODY:
    return request_read_body(c);
  case CONN_LINGER:
    buf_clear(&c->in);
    return false;
  default:
    return false;
  }
}

static bool conn_wants_input(const struct conn *c) {
  if (c->state == CONN_BODY)
    return buf_len(&c->out) < CONN_OUT_MAX_BYTES;
  return c->state == CONN_HEAD || c->state == CONN_LINGER;
}

/* Goes as far as input and state allow; called at the end of every event and timer. */
static void conn_run(struct conn *c) {
  c->turn_bytes = 0;
  for (;;) {
    while (conn_step(c))
      ;
    if (!c->readable || !conn_wants_input(c))
      break;
    if (c->turn_bytes > CONN_TURN_MAX_BYTES) {
      timer_set(&c->timer, engine.now_us);
      break;
    }
    if (!conn_fill(c))
      break;
  }
  if (c->state == CONN_ANSWER && c->hung_up)
    conn_close(c, "abort");
  else if (c->state == CONN_HEAD && engine.draining && !buf_len(&c->in))
    conn_close(c, NULL);
  else if (c->state == CONN_HEAD && !buf_len(&c->in))
    buf_shrink(&c->in, CONN_READ_BODY_BYTES);
}

static void conn_flushed(struct conn *c) {
  if (c->state != CONN_ANSWER || !c->req.complete)
    return;
  bool keep = c->req.keep_alive;
  bool silent = fault_has(&c->req.faults, FAULT_CLOSE_IDLE);
  request_end(c);
  buf_shrink(&c->out, CONN_KEEP_BYTES);
  buf_shrink(&c->body, CONN_KEEP_BYTES);
  c->state = CONN_HEAD;
  if (keep && !silent)
    conn_arm_idle(c);
  else
    conn_close(c, NULL);
}

void conn_flush(struct conn *c) {
  while (buf_len(&c->out) && c->state != CONN_CLOSED) {
    ssize_t n = send(c->fd, buf_at(&c->out), buf_len(&c->out), MSG_NOSIGNAL);
    if (n >= 0)
      buf_consume(&c->out, (size_t)n);
    else if (errno == EAGAIN)
      return;
    else if (errno != EINTR)
      conn_close(c, "abort");
  }
  conn_flushed(c);
}

void conn_drain_all(void) {
  for (struct conn *c = all, *next; c; c = next) {
    next = c->next;
    if (c->state == CONN_HEAD && !buf_len(&c->in))
      conn_close(c, NULL);
  }
}

bool conn_any(void) {
  return all != NULL;
}

void conn_reap(void) {
  while (closed) {
    struct conn *c = closed;
    closed = c->next;
    buf_shrink(&c->in, CONN_KEEP_BYTES);
    buf_shrink(&c->out, CONN_KEEP_BYTES);
    buf_shrink(&c->body, CONN_KEEP_BYTES);
    conn_put_spare(c);
  }
}

void conn_free_all(void) {
  while (all)
    conn_close(all, "cut");
  conn_reap();
  while (spare) {
    struct conn *c = spare;
    spare = c->next;
    buf_shrink(&c->in, 0);
    buf_shrink(&c->out, 0);
    buf_shrink(&c->body, 0);
    free(c);
  }
}

#include "bench/load/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/exchange.h"
#include "bench/load/load.h"
#include "bench/load/options.h"
#include "lib/net/connect.h"

void conn_init(struct conn *c, struct load *l, uint32_t index, int version) {
  *c = (struct conn){.load = l, .index = index, .fd = -1, .version = (uint8_t)version};
  list_init(&c->dirty_node);
  list_init(&c->waiting);
  list_init(&c->active);
}

void conn_touch(struct conn *c) {
  if (!c->busy && list_empty(&c->dirty_node))
    list_push_back(&c->load->dirty, &c->dirty_node);
}

void conn_join(struct conn *c, struct exchange *x) {
  list_push_back(&c->waiting, &x->node);
  conn_touch(c);
}

void conn_left(struct conn *c) {
  conn_touch(c);
}

/* ---- opening and closing ---- */

static void waiting_fail(struct conn *c, enum tally_error error) {
  struct list failed;
  list_init(&failed);
  list_move_all(&failed, &c->waiting);
  struct list *node;
  while ((node = list_pop_front(&failed)))
    exchange_fail(container_of(node, struct exchange, node), error);
}

static void conn_release(struct conn *c) {
  if (c->fd >= 0)
    close(c->fd);
  if (c->protocol)
    c->protocol->close(c);
  conn_tls_free(c);
  free(c->out);
  c->out = NULL;
  c->out_len = c->out_done = 0;
  c->protocol = NULL;
  c->fd = -1;
  c->generation++;
  c->state = CONN_CLOSED;
  c->begun = 0;
  c->closing = c->retired = c->peer_ended = c->may_read = c->may_write = false;
}

/* An exchange that ends may begin again at once: it joins those who wait. */
void conn_close(struct conn *c, enum tally_error error, bool orderly) {
  enum conn_state was = c->state;
  if (was == CONN_CLOSED)
    return;
  struct list active;
  list_init(&active);
  list_move_all(&active, &c->active);
  const struct protocol *protocol = c->protocol;
  list_each (node, &active)
    protocol->lost(c, container_of(node, struct exchange, node), orderly);
  conn_release(c);
  if (was != CONN_OPEN)
    waiting_fail(c, error);
  conn_touch(c);
}

void conn_drop(struct conn *c) {
  list_init(&c->active);
  list_init(&c->waiting);
  if (c->state != CONN_CLOSED)
    conn_release(c);
}

void conn_fail(struct conn *c) {
  c->closing = true;
  conn_touch(c);
}

static void conn_dial(struct conn *c) {
  struct load *l = c->load;
  c->fd = connect_start(&l->address);
  c->state = CONN_CONNECTING;
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                          .data.u64 = (uint64_t)c->generation << 32 | c->index};
  if (c->fd < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e)) {
    load_say(l, ERROR_CONNECT, strerror(errno));
    conn_close(c, ERROR_CONNECT, false);
  }
}

void conn_ready(struct conn *c, int version) {
  c->state = CONN_OPEN;
  c->protocol = version == 2 ? &h2 : &h1;
  c->load->spoke[version] = true;
  if (!c->protocol->open(c))
    c->closing = true;
}

static void connected(struct conn *c) {
  int error = 0;
  socklen_t len = sizeof error;
  if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) || error) {
    load_say(c->load, ERROR_CONNECT, strerror(error));
    conn_close(c, ERROR_CONNECT, false);
    return;
  }
  if (!c->load->tls) {
    conn_ready(c, c->version ? c->version : 1);
    return;
  }
  c->state = CONN_HANDSHAKE;
  if (!conn_tls_open(c))
    conn_close(c, ERROR_TLS, false);
}

/* ---- out ---- */

static void out_keep(struct conn *c, struct slice rest) {
  char *more = realloc(c->out, c->out_len + rest.len);
  if (!more) {
    c->closing = true;
    return;
  }
  memcpy(more + c->out_len, rest.data, rest.len);
  c->out = more;
  c->out_len += rest.len;
}

/* What the socket takes of it; all of it when the connection has failed. */
static size_t socket_put(struct conn *c, struct slice bytes) {
  ssize_t n = send(c->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR) {
    c->may_write = false; /* the reading side learns why */
    c->may_read = true;
    return bytes.len;
  }
  size_t sent = n > 0 ? (size_t)n : 0;
  c->load->bytes_out += sent;
  if (sent < bytes.len)
    c->may_write = false;
  return sent;
}

void conn_put_raw(struct conn *c, struct slice raw) {
  size_t sent = c->may_write && c->out_len == 0 ? socket_put(c, raw) : 0;
  if (sent < raw.len)
    out_keep(c, slice_skip(raw, sent));
}

static void out_flush(struct conn *c) {
  if (c->out_len == 0 || !c->may_write)
    return;
  c->out_done += socket_put(c, slice_of(c->out + c->out_done, c->out_len - c->out_done));
  if (c->out_done < c->out_len)
    return;
  free(c->out);
  c->out = NULL;
  c->out_len = c->out_done = 0;
}

static void conn_pump(struct conn *c) {
  struct load *l = c->load;
  size_t n;
  out_flush(c);
  while (c->may_write && c->out_len == 0 && !c->closing &&
         (n = c->protocol->pull(c, l->out, LOAD_WRITE_BYTES)) > 0) {
    if (c->ssl)
      conn_tls_put(c, slice_of(l->out, n));
    else
      conn_put_raw(c, slice_of(l->out, n));
  }
}

/* ---- in ---- */

static enum tally_error error_of(const struct conn *c) {
  return c->state == CONN_HANDSHAKE ? ERROR_TLS : ERROR_CONNECT;
}

/* False when there is nothing more to read for now. */
static bool conn_read(struct conn *c) {
  struct load *l = c->load;
  ssize_t n = recv(c->fd, l->raw, LOAD_READ_BYTES, 0);
  if (n < 0 && errno == EINTR)
    return true;
  if (n < 0 && errno == EAGAIN) {
    c->may_read = false;
    return false;
  }
  if (n <= 0) {
    conn_close(c, error_of(c), n == 0);
    return false;
  }
  l->bytes_in += (uint64_t)n;
  if (n < LOAD_READ_BYTES && !c->peer_ended)
    c->may_read = false; /* a short read: drained */
  struct slice raw = slice_of(l->raw, (size_t)n);
  if (c->ssl)
    conn_tls_take(c, raw);
  else if (c->protocol)
    c->protocol->take(c, raw);
  return c->may_read && !c->closing && c->state != CONN_CLOSED;
}

static void conn_read_on(struct conn *c) {
  for (int i = 0; c->may_read && !c->closing && c->state > CONN_CONNECTING; i++) {
    if (i == CONN_READS_PER_TURN || !conn_read(c))
      return;
  }
}

/* ---- settling ---- */

static void conn_dispatch(struct conn *c) {
  double most = c->load->options->requests_per_connection;
  while (!list_empty(&c->waiting) && !c->retired && c->protocol->has_room(c)) {
    struct exchange *x = container_of(list_pop_front(&c->waiting), struct exchange, node);
    list_push_back(&c->active, &x->node);
    c->begun++;
    if (most > 0 && (double)c->begun >= most)
      c->retired = true;
    exchange_begun(x);
    c->protocol->begin(c, x);
  }
}

static void conn_goodbye(struct conn *c) {
  if (c->ssl && c->state == CONN_OPEN)
    conn_tls_goodbye(c);
  conn_close(c, ERROR_RESET, true);
}

static bool has_more_to_do(const struct conn *c) {
  if (c->state == CONN_CLOSED)
    return !list_empty(&c->waiting);
  if (c->closing || (c->state > CONN_CONNECTING && c->may_read))
    return true;
  return c->state == CONN_OPEN && !c->retired && !list_empty(&c->waiting) &&
         c->protocol->has_room(c);
}

void conn_settle(struct conn *c) {
  c->busy = true;
  list_remove(&c->dirty_node);
  conn_read_on(c);
  if (c->closing)
    conn_close(c, error_of(c), false);
  if (c->state == CONN_OPEN)
    conn_dispatch(c);
  if (c->state == CONN_OPEN)
    conn_pump(c);
  if (c->state == CONN_OPEN && (c->closing || (c->retired && list_empty(&c->active))))
    conn_goodbye(c);
  else if (c->state == CONN_HANDSHAKE)
    out_flush(c);
  if (c->state == CONN_CLOSED && !list_empty(&c->waiting))
    conn_dial(c);
  c->busy = false;
  if (has_more_to_do(c))
    conn_touch(c);
}

void conn_event(struct conn *c, uint32_t events) {
  if (events & EPOLLOUT)
    c->may_write = true;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
    c->may_read = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
    c->peer_ended = true;
  if (c->state == CONN_CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
    c->busy = true;
    connected(c);
    c->busy = false;
  }
  conn_settle(c);
}

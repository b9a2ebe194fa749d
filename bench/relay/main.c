/* The floor of the figures: a relay that only copies bytes both ways, one thread, edge-triggered.
 * With TLS towards the client on its second port. */
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SCRATCH_BYTES = 64 * 1024, EVENTS_MAX = 256, BACKLOG = 4096 };

struct pair;

/* One socket of a pair. What its kernel buffer did not take waits in `rest`, and as long as it
 * does nothing is read for it. */
struct side {
  struct pair *pair;
  int fd;
  bool readable, ended;
  char *rest;
  size_t rest_len;
};

struct pair {
  struct side client, engine;
  SSL *ssl; /* NULL: the client speaks clear text */
  bool closed;
  struct pair *next_closed;
};

static struct {
  int epoll, clear, tls;
  struct sockaddr_in engine;
  SSL_CTX *context;
  struct pair *closed; /* freed after the turn: events for them may be left in it */
} relay;

static char scratch[SCRATCH_BYTES], plain[SCRATCH_BYTES];

static void pair_close(struct pair *p) {
  if (p->closed)
    return;
  p->closed = true;
  close(p->client.fd);
  close(p->engine.fd);
  p->next_closed = relay.closed;
  relay.closed = p;
}

static void pairs_free(void) {
  for (struct pair *p; (p = relay.closed);) {
    relay.closed = p->next_closed;
    SSL_free(p->ssl);
    free(p->client.rest);
    free(p->engine.rest);
    free(p);
  }
}

static struct side *side_other(struct side *s) {
  return s == &s->pair->client ? &s->pair->engine : &s->pair->client;
}

static void side_keep(struct side *s, const char *data, size_t len) {
  char *room = realloc(s->rest, s->rest_len + len);
  if (!room) {
    pair_close(s->pair);
    return;
  }
  memcpy(room + s->rest_len, data, len);
  s->rest = room;
  s->rest_len += len;
}

static void side_write(struct side *s, const char *data, size_t len) {
  ssize_t n = !len || s->rest_len ? 0 : send(s->fd, data, len, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR)
    pair_close(s->pair);
  else if ((size_t)(n > 0 ? n : 0) < len)
    side_keep(s, data + (n > 0 ? n : 0), len - (size_t)(n > 0 ? n : 0));
}

static void side_write_rest(struct side *s) {
  char *data = s->rest;
  size_t len = s->rest_len;
  s->rest = NULL;
  s->rest_len = 0;
  side_write(s, data, len);
  free(data);
}

static void pass_from_client(struct pair *p, struct bytes in) {
  struct bytes answer;
  size_t len;
  bool open = tls_decrypt(p->ssl, in, plain, sizeof(plain), &len, &answer);
  side_write(&p->client, answer.at, answer.len);
  side_write(&p->engine, plain, len);
  if (!open)
    p->client.ended = true;
}

static void pass_to_client(struct pair *p, struct bytes in) {
  struct bytes out;
  if (tls_encrypt(p->ssl, in, &out))
    side_write(&p->client, out.at, out.len);
  else
    pair_close(p);
}

static void side_pass(struct side *s, struct bytes in) {
  if (!s->pair->ssl)
    side_write(side_other(s), in.at, in.len);
  else if (s == &s->pair->client)
    pass_from_client(s->pair, in);
  else
    pass_to_client(s->pair, in);
}

/* A short read has drained the socket, unless its end has come. */
static void side_read(struct side *s, bool end_seen) {
  ssize_t n = recv(s->fd, scratch, sizeof(scratch), 0);
  if (n > 0) {
    s->readable = n == (ssize_t)sizeof(scratch) || end_seen;
    side_pass(s, (struct bytes){scratch, (size_t)n});
  } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    s->readable = false;
  } else {
    s->ended = true;
  }
}

static void side_pump(struct side *s, bool end_seen) {
  struct side *to = side_other(s);
  while (s->readable && !s->ended && !to->rest_len && !s->pair->closed)
    side_read(s, end_seen);
  if (s->ended && !to->rest_len)
    pair_close(s->pair);
}

static void side_event(struct side *s, uint32_t events) {
  if (s->pair->closed)
    return;
  if (events & EPOLLOUT && s->rest_len) {
    side_write_rest(s);
    side_pump(side_other(s), true);
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
    s->readable = true;
  if (!s->pair->closed)
    side_pump(s, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

static bool side_open(struct side *s, struct pair *p, int fd) {
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};
  int on = 1;
  s->pair = p;
  s->fd = fd;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return !epoll_ctl(relay.epoll, EPOLL_CTL_ADD, fd, &e);
}

static int engine_connect(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&relay.engine, sizeof(relay.engine)) &&
      errno != EINPROGRESS) {
    close(fd);
    return -1;
  }
  return fd;
}

static void pair_open(int client, bool tls) {
  struct pair *p = calloc(1, sizeof(*p));
  int engine = engine_connect();
  if (!p || engine < 0 || (tls && !(p->ssl = tls_accept(relay.context)))) {
    close(client);
    if (engine >= 0)
      close(engine);
    free(p);
    return;
  }
  p->client.fd = client;
  p->engine.fd = engine;
  if (!side_open(&p->engine, p, engine) || !side_open(&p->client, p, client))
    pair_close(p);
}

static void listener_event(int listener) {
  for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
    pair_open(fd, listener == relay.tls);
}

static struct sockaddr_in loopback(const char *port) {
  return (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)atoi(port)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listener_open(const char *port, int *where) {
  struct sockaddr_in at = loopback(port);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = where};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
      bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, BACKLOG) ||
      epoll_ctl(relay.epoll, EPOLL_CTL_ADD, fd, &e))
    return -1;
  return *where = fd;
}

static void turn(void) {
  struct epoll_event events[EVENTS_MAX];
  int n = epoll_wait(relay.epoll, events, EVENTS_MAX, -1);
  for (int i = 0; i < n; i++) {
    if (events[i].data.ptr == &relay.clear || events[i].data.ptr == &relay.tls)
      listener_event(*(int *)events[i].data.ptr);
    else
      side_event(events[i].data.ptr, events[i].events);
  }
  pairs_free();
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: relay ENGINE-PORT CLEAR-PORT TLS-PORT CERTIFICATE KEY\n");
    return 2;
  }
  relay.engine = loopback(argv[1]);
  relay.epoll = epoll_create1(EPOLL_CLOEXEC);
  relay.context = tls_context(argv[4], argv[5]);
  if (!relay.context || listener_open(argv[2], &relay.clear) < 0 ||
      listener_open(argv[3], &relay.tls) < 0) {
    perror("relay");
    return 1;
  }
  for (;;)
    turn();
}

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "listener.h"
#include "conn.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTENER_BACKLOG = 4096, LISTENER_ACCEPTS_PER_TURN = 64, LISTENER_FULL_PAUSE_MS = 100 };

struct listener {
  struct source source;
  int fd;
  socklen_t address_len; /* 0: not in use */
  struct sockaddr_storage address;
};

static void listener_event(struct source *s, uint32_t events);
static void listener_again(struct timer *t);

static struct listener tcp = {{listener_event}, -1, 0, {0}};
static struct listener local = {{listener_event}, -1, 0, {0}};
static struct timer again = {0, 0, listener_again};

static void listener_close(struct listener *l) {
  if (l->fd >= 0)
    close(l->fd);
  l->fd = -1;
}

/* Without room for another descriptor, accepting would spin; pausing lets requests end. */
static void listener_event(struct source *s, uint32_t events) {
  struct listener *l = (struct listener *)s;
  (void)events;
  for (int i = 0; i < LISTENER_ACCEPTS_PER_TURN && l->fd >= 0; i++) {
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      conn_open(fd);
      continue;
    }
    if (errno == EMFILE || errno == ENFILE)
      listener_refuse(LISTENER_FULL_PAUSE_MS * 1000);
    if (errno != ECONNABORTED && errno != EINTR)
      return;
  }
}

/* Connections have them of their listener. */
static void listener_options(int fd) {
  int unsent = (int)engine.options.unsent;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
  if (unsent)
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

static bool listener_open(struct listener *l) {
  if (!l->address_len)
    return true;
  struct epoll_event e = {EPOLLIN, {.ptr = l}};
  l->fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (l->fd < 0)
    return false;
  if (l->address.ss_family == AF_UNIX)
    listener_unlink();
  else
    listener_options(l->fd);
  return !bind(l->fd, (struct sockaddr *)&l->address, l->address_len) &&
         !listen(l->fd, LISTENER_BACKLOG) && !epoll_ctl(engine.epoll, EPOLL_CTL_ADD, l->fd, &e);
}

static bool listener_resolve(void) {
  struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found;
  char port[24];
  snprintf(port, sizeof(port), "%ld", engine.options.port);
  int error = getaddrinfo(engine.options.host, port, &hints, &found);
  if (error) {
    fprintf(stderr, "engine: %s: %s\n", engine.options.host, gai_strerror(error));
    return false;
  }
  memcpy(&tcp.address, found->ai_addr, found->ai_addrlen);
  tcp.address_len = found->ai_addrlen;
  freeaddrinfo(found);
  return true;
}

static bool listener_resolve_unix(void) {
  struct sockaddr_un *address = (struct sockaddr_un *)&local.address;
  size_t n = strlen(engine.options.unix_path);
  if (n >= sizeof(address->sun_path)) {
    fprintf(stderr, "engine: the socket's path is too long\n");
    return false;
  }
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, engine.options.unix_path, n + 1);
  local.address_len = sizeof(*address);
  return true;
}

/* The port the kernel chose is kept, so that listening again finds the same one. */
static void listener_announce(void) {
  if (tcp.address_len) {
    getsockname(tcp.fd, (struct sockaddr *)&tcp.address, &tcp.address_len);
    bool six = tcp.address.ss_family == AF_INET6;
    unsigned port = ntohs(((struct sockaddr_in *)&tcp.address)->sin_port);
    printf(six ? "listening on [%s]:%u\n" : "listening on %s:%u\n", engine.options.host, port);
  }
  if (local.address_len)
    printf("listening on unix:%s\n", engine.options.unix_path);
  fflush(stdout);
}

bool listener_open_all(void) {
  if (engine.options.port >= 0 && !listener_resolve())
    return false;
  if (engine.options.unix_path && !listener_resolve_unix())
    return false;
  if (!listener_open(&tcp) || !listener_open(&local)) {
    perror("engine: cannot listen");
    return false;
  }
  listener_announce();
  return true;
}

void listener_close_all(void) {
  timer_clear(&again);
  listener_close(&tcp);
  listener_close(&local);
}

static void listener_again(struct timer *t) {
  if (listener_open(&tcp) && listener_open(&local))
    return;
  listener_close_all();
  timer_set(t, engine.now_us + LISTENER_FULL_PAUSE_MS * 1000);
}

void listener_refuse(uint64_t for_us) {
  listener_close_all();
  if (!engine.draining)
    timer_set(&again, engine.now_us + for_us);
}

void listener_unlink(void) {
  if (engine.options.unix_path)
    unlink(engine.options.unix_path);
}

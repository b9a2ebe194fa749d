#include "lib/net/listen.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/descriptors.h"
#include "lib/net/address.h"
#include "lib/net/loop.h"

enum { PAUSE_US = 100 * 1000 };

struct listener {
  struct loop *loop;
  int fd;
  int highest; /* descriptor that a client may have */
  struct event *event;
  struct timer pause;
  const struct listener_events *events;
  void *user;
};

static void set(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

static int fail(int fd, const struct address *a, struct buf *why) {
  int error = errno;
  const char *remedy = "";
  if (error == EADDRINUSE)
    remedy = "; another process listens there: stop it or choose another port";
  else if (error == EACCES)
    remedy =
        "; ports below 1024 need root or CAP_NET_BIND_SERVICE, a Unix socket a writable directory";
  else if (error == EADDRNOTAVAIL)
    remedy = "; no interface of this machine has that address";
  buf_printf(why, "cannot listen on %s: %s%s", a->text, strerror(error), remedy);
  if (fd >= 0)
    close(fd);
  return -1;
}

/* A file left behind by a process that was killed is in the way; a living one's is not
 * ours to take, even if its queue is full because it has not looked for long. */
static bool socket_is_stale(const struct address *a) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return false;
  int e = connect(fd, (const struct sockaddr *)&a->storage, a->len);
  bool stale = e < 0 && errno == ECONNREFUSED;
  close(fd);
  return stale;
}

static int listen_unix(const struct address *a, int mode, struct buf *why) {
  const char *path = ((const struct sockaddr_un *)&a->storage)->sun_path;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return fail(fd, a, why);
  if (socket_is_stale(a))
    unlink(path);
  if (bind(fd, (const struct sockaddr *)&a->storage, a->len) || chmod(path, (mode_t)mode) ||
      listen(fd, LISTEN_BACKLOG))
    return fail(fd, a, why);
  return fd;
}

static int tcp_socket(const struct address *a) {
  int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (a->storage.ss_family == AF_INET6)
    set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !a->both_families);
  return fd;
}

/* SO_REUSEPORT would let two processes share a port unawares. */
static bool port_is_free(const struct address *a) {
  int fd = tcp_socket(a);
  if (fd < 0)
    return false;
  bool is_free = bind(fd, (const struct sockaddr *)&a->storage, a->len) == 0;
  int error = errno;
  close(fd);
  errno = error;
  return is_free;
}

int listen_socket(const struct address *a, bool again, bool later, int mode, struct buf *why) {
  if (a->storage.ss_family == AF_UNIX)
    return listen_unix(a, mode, why);
  if (!again && !port_is_free(a))
    return fail(-1, a, why);
  int fd = tcp_socket(a);
  if (fd < 0)
    return fail(fd, a, why);
  set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (bind(fd, (const struct sockaddr *)&a->storage, a->len) ||
      (!later && listen(fd, LISTEN_BACKLOG)))
    return fail(fd, a, why);
  return fd;
}

void listen_begin(int fd) {
  if (listen(fd, LISTEN_BACKLOG)) {
    /* it is bound: it can */
  }
}

/* What is accepted inherits it; on a Unix socket it does nothing. A peer that vanished without a
 * word is noticed after a minute. */
static void prepare(int fd) {
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, LISTEN_UNSENT_BYTES);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

/* The lowest free number is given out first: when it is above `highest`, all below are in use. */
static bool has_room(const struct listener *li) {
  int fd = fcntl(li->fd, F_DUPFD_CLOEXEC, 0);
  if (fd >= 0)
    close(fd);
  return fd >= 0 && fd <= li->highest;
}

static void pause_on(struct listener *li) {
  if (timer_set(li->loop, &li->pause, loop_now(li->loop) + PAUSE_US) == OK)
    event_del(li->event);
}

static void pause_over(struct timer *t) {
  struct listener *li = container_of(t, struct listener, pause);
  if (has_room(li))
    event_add(li->event, NULL);
  else
    pause_on(li);
}

static void pause_begin(struct listener *li) {
  li->events->paused(li->user);
  pause_on(li);
}

static bool out_of_resources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void accept_some(struct listener *li, int most, int highest) {
  for (int i = 0; i < most; i++) {
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    int fd = accept4(li->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      li->events->accepted(li->user, fd, &peer);
      if (fd >= highest) {
        pause_begin(li);
        return;
      }
    } else if (out_of_resources(errno)) {
      pause_begin(li);
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

static void accept_ready(evutil_socket_t lfd, short what, void *user) {
  struct listener *li = user;
  accept_some(li, LISTEN_ACCEPTS_PER_TURN, li->highest);
}

enum err listener_open(struct loop *l, int fd, const struct listener_events *events, void *user,
                       struct listener **out) {
  struct listener *li = calloc(1, sizeof *li);
  if (!li) {
    close(fd);
    return ERR_MEMORY;
  }
  prepare(fd);
  *li = (struct listener){.loop = l, .fd = fd, .events = events, .user = user};
  li->highest = (int)descriptors_for_clients(descriptors_limit()) - 1;
  timer_init(&li->pause, pause_over);
  li->event = event_new(l->base, fd, EV_READ | EV_PERSIST, accept_ready, li);
  if (!li->event || event_add(li->event, NULL)) {
    listener_free(li);
    return ERR_MEMORY;
  }
  *out = li;
  return OK;
}

void listener_redirect(struct listener *li, void *user) {
  li->user = user;
}

struct listener *listener_finish(struct listener *li) {
  if (li)
    accept_some(li, LISTEN_BACKLOG, INT_MAX);
  return listener_free(li);
}

struct listener *listener_free(struct listener *li) {
  if (!li)
    return NULL;
  timer_cancel(li->loop, &li->pause);
  if (li->event)
    event_free(li->event);
  close(li->fd);
  free(li);
  return NULL;
}

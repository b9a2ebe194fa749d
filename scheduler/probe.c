#include "scheduler/probe.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/slice.h"
#include "lib/net/address.h"
#include "lib/net/connect.h"
#include "lib/net/loop.h"

enum { STATUS_LINE_BYTES = 12, REQUEST_BYTES = 1024 };

struct probe {
  struct loop *loop;
  int fd;
  struct event *event;
  struct timer timer;
  void (*done)(void *user, bool healthy);
  void *user;
  bool asked; /* connected, and the request is out */
  size_t request_len, got;
  char request[REQUEST_BYTES], line[STATUS_LINE_BYTES];
};

struct probe *probe_free(struct probe *p) {
  if (!p)
    return NULL;
  timer_cancel(p->loop, &p->timer);
  if (p->event)
    event_free(p->event);
  if (p->fd >= 0)
    close(p->fd);
  free(p);
  return NULL;
}

static void finish(struct probe *p, bool healthy) {
  p->done(p->user, healthy);
}

static void timed_out(struct timer *t) {
  finish(container_of(t, struct probe, timer), false);
}

static bool connected(struct probe *p) {
  int error = 0;
  socklen_t len = sizeof error;
  return getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

/* "HTTP/1.1 200": nothing else is ready. */
static bool says_ok(const struct probe *p) {
  return p->got == STATUS_LINE_BYTES && memcmp(p->line, "HTTP/1.", 7) == 0 &&
         memcmp(p->line + 8, " 200", 4) == 0;
}

static void progress(evutil_socket_t fd, short what, void *user) {
  struct probe *p = user;
  if (!p->asked) {
    p->asked = true;
    bool accepted = connected(p); /* asking clears the error: once only */
    if (!accepted || p->request_len == 0)
      finish(p, accepted);
    else if (send(fd, p->request, p->request_len, MSG_NOSIGNAL) != (ssize_t)p->request_len)
      finish(p, false);
    else {
      event_del(p->event);
      event_assign(p->event, p->loop->base, fd, EV_READ | EV_PERSIST, progress, p);
      event_add(p->event, NULL);
    }
    return;
  }
  ssize_t n = recv(fd, p->line + p->got, STATUS_LINE_BYTES - p->got, 0);
  if (n > 0)
    p->got += (size_t)n;
  if (n <= 0 || p->got == STATUS_LINE_BYTES)
    finish(p, says_ok(p));
}

enum err probe_start(struct loop *l, const char *address, const char *path, int64_t timeout_ms,
                     void (*done)(void *user, bool healthy), void *user, struct probe **out) {
  struct address a;
  enum err e = address_parse(address, &a);
  if (e)
    return e;
  struct probe *p = calloc(1, sizeof *p);
  if (!p)
    return ERR_MEMORY;
  *p = (struct probe){.loop = l, .done = done, .user = user};
  timer_init(&p->timer, timed_out);
  if (path)
    p->request_len =
        (size_t)snprintf(p->request, sizeof p->request,
                         "GET %s HTTP/1.1\r\nhost: %s\r\nuser-agent: headrace-probe\r\n"
                         "connection: close\r\n\r\n",
                         path, a.storage.ss_family == AF_UNIX ? "localhost" : address);
  p->fd = p->request_len < sizeof p->request ? connect_start(&a) : -1;
  if (p->fd < 0 && connect_starved(errno)) {
    probe_free(p);
    return ERR_LIMIT;
  }
  if (p->fd >= 0)
    p->event = event_new(l->base, p->fd, EV_WRITE | EV_PERSIST, progress, p);
  if (!p->event || event_add(p->event, NULL) ||
      timer_set(l, &p->timer, loop_now(l) + timeout_ms * USEC_PER_MS) != OK) {
    probe_free(p);
    return ERR_IO;
  }
  *out = p;
  return OK;
}

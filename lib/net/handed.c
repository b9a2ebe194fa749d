#include "lib/net/handed.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/net/address.h"

static const char word[] = "HEADRACE_SOCKETS";

struct handed {
  struct handed_list list;
  int ready_fd;
};

void handed_list_add(struct handed_list *l, int fd, bool lent) {
  if (l->count < HANDED_MAX)
    l->sockets[l->count++] = (struct handed_socket){fd, lent};
  else
    l->left_out++;
}

/* A letter for each socket: o, ours, or l, lent. */
void handed_word(const struct handed_list *l, char *to, int room) {
  int n = snprintf(to, (size_t)room, "%s=", word);
  for (int i = 0; i < l->count && n < room - 1; i++)
    to[n++] = l->sockets[i].lent ? 'l' : 'o';
  to[n] = '\0';
}

static bool listens(int fd) {
  int on = 0;
  socklen_t len = sizeof on;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

static void take(struct handed *h, int fd, bool lent) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
    return;
  if (listens(fd) && h->list.count < HANDED_MAX)
    handed_list_add(&h->list, fd, lent);
  else
    close(fd);
}

static void take_from_process(struct handed *h, const char *lent) {
  int fd = HANDED_FIRST_FD;
  for (; *lent; lent++)
    take(h, fd++, *lent == 'l');
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
    h->ready_fd = fd;
}

static void take_from_systemd(struct handed *h, const char *pid, const char *count) {
  if (strtol(pid, NULL, 10) != getpid())
    return;
  for (int i = 0; i < atoi(count) && i < HANDED_MAX; i++)
    take(h, HANDED_FIRST_FD + i, true);
}

struct handed *handed_take(void) {
  struct handed *h = calloc(1, sizeof *h);
  if (!h)
    return NULL;
  h->ready_fd = -1;
  const char *lent = getenv(word), *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
  if (lent)
    take_from_process(h, lent);
  else if (pid && count)
    take_from_systemd(h, pid, count);
  unsetenv(word);
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  return h;
}

static bool at(int fd, const struct address *a) {
  struct sockaddr_storage own = {0};
  socklen_t len = sizeof own;
  int alone = 0;
  socklen_t size = sizeof alone;
  if (getsockname(fd, (struct sockaddr *)&own, &len) || own.ss_family != a->storage.ss_family)
    return false;
  if (own.ss_family == AF_UNIX) /* with or without the zero at the end */
    return strncmp(((struct sockaddr_un *)&own)->sun_path,
                   ((const struct sockaddr_un *)&a->storage)->sun_path,
                   sizeof(((struct sockaddr_un *)&own)->sun_path)) == 0;
  if (own.ss_family == AF_INET6)
    getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &alone, &size);
  return len == a->len && memcmp(&own, &a->storage, len) == 0 &&
         (own.ss_family != AF_INET6 || (alone == 0) == a->both_families);
}

int handed_find(struct handed *h, const struct address *a, int *fds, int most, bool *lent) {
  int found = 0, kept = 0;
  *lent = false;
  for (int i = 0; h && i < h->list.count; i++) {
    struct handed_socket *s = &h->list.sockets[i];
    if (found < most && at(s->fd, a)) {
      fds[found++] = s->fd;
      *lent = s->lent;
    } else {
      h->list.sockets[kept++] = *s;
    }
  }
  if (h)
    h->list.count = kept;
  return found;
}

int handed_before(const struct handed *h) {
  return h->ready_fd;
}

void handed_ready(struct handed *h, const char *id) {
  char text[HANDED_ID_BYTES + 1];
  int n = snprintf(text, sizeof text, "1%s", id);
  /* A failure shows as the end, instead of an answer. */
  if (send(h->ready_fd, text, (size_t)n, MSG_NOSIGNAL) < 0)
    shutdown(h->ready_fd, SHUT_RDWR);
}

static void file_remove(int fd) {
  struct sockaddr_un own = {0};
  socklen_t len = sizeof own - 1; /* a zero at the end in any case */
  if (getsockname(fd, (struct sockaddr *)&own, &len) == 0 && own.sun_family == AF_UNIX &&
      own.sun_path[0])
    unlink(own.sun_path);
}

void handed_remove_files(const struct handed *h) {
  for (int i = 0; i < h->list.count; i++)
    if (!h->list.sockets[i].lent)
      file_remove(h->list.sockets[i].fd);
}

struct handed *handed_free(struct handed *h) {
  if (!h)
    return NULL;
  for (int i = 0; i < h->list.count; i++)
    close(h->list.sockets[i].fd);
  if (h->ready_fd >= 0)
    close(h->ready_fd);
  free(h);
  return NULL;
}

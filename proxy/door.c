#include "proxy/door.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/dirs.h"
#include "lib/net/handed.h"
#include "lib/net/listen.h"
#include "lib/net/selfsign.h"
#include "lib/net/tls.h"
#include "proxy/config/config.h"

struct door {
  struct client_door *client;
  struct address address;
  int mode;       /* of a Unix socket's file */
  int kept;       /* its place in the doors before, whose sockets it goes on with; or -1 */
  bool owns_file; /* of a Unix socket: is unlinked with it */
  bool lent;      /* that of its file is not ours */
  bool shared;    /* all workers accept from one socket */
  int *sockets;   /* socket_count; workers have duplicates of them */
  int socket_count;
};

struct doors {
  int count, workers;
  struct door *doors;
};

static enum err tls_open(const struct config_listener *c, struct client_door *d, struct buf *why) {
  struct tls_pair pairs[TLS_PAIRS_MAX];
  struct selfsign_paths own;
  static const char *const versions[] = {"1.2", "1.3"};
  struct tls_settings s = {.pairs = pairs,
                           .pair_count = c->certificate_count,
                           .min_version = versions[c->tls_min],
                           .alpn = c->alpn,
                           .client_ca = c->client_certificates ? c->client_ca : NULL,
                           .client_required =
                               c->client_certificates == CONFIG_CERTIFICATES_REQUIRED};
  if (s.pair_count > TLS_PAIRS_MAX)
    s.pair_count = TLS_PAIRS_MAX;
  for (int i = 0; i < s.pair_count; i++)
    pairs[i] = (struct tls_pair){c->certificates[i].certificate, c->certificates[i].key};
  if (s.pair_count == 0) {
    enum err e = selfsign_ensure(c->self_signed_directory, c->self_signed_names, &own, why);
    if (e)
      return e;
    pairs[0] = (struct tls_pair){own.certificate, own.key};
    s.pair_count = 1;
  }
  return tls_context_new(&s, &d->tls, why);
}

static bool has_siblings(int fd) {
  int on = 0;
  socklen_t len = sizeof on;
  return getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, &len) == 0 && on;
}

static bool is_unix(const struct door *d) {
  return d->address.storage.ss_family == AF_UNIX;
}

/* Those handed over keep their number: what waits in one that is closed would be reset. */
static enum err sockets_find(struct door *d, struct handed *handed) {
  int fds[HANDED_MAX];
  int count = handed_find(handed, &d->address, fds, HANDED_MAX, &d->lent);
  d->shared = is_unix(d) || (count && !has_siblings(fds[0]));
  d->sockets = malloc(((size_t)count + 1) * sizeof *d->sockets);
  for (int i = 0; i < count; i++) {
    if (d->sockets)
      d->sockets[d->socket_count++] = fds[i];
    else
      close(fds[i]);
  }
  return d->sockets ? OK : ERR_MEMORY;
}

static enum err sockets_open(const struct config_listener *c, struct door *d, int workers,
                             struct handed *handed, struct buf *why) {
  enum err e = sockets_find(d, handed);
  bool later = d->socket_count > 0; /* until we stand, all that come are the other process's */
  int wanted = d->shared ? 1 : workers;
  if (e || d->socket_count >= wanted)
    return e;
  int *more = realloc(d->sockets, (size_t)wanted * sizeof *more);
  if (!more)
    return ERR_MEMORY;
  d->sockets = more;
  if (is_unix(d) && dirs_make_for(c->address + 5, 0755) != OK) {
    buf_printf(why, "cannot make the directory of %s: %s", c->address, strerror(errno));
    return ERR_IO;
  }
  while (d->socket_count < wanted) {
    int fd = listen_socket(&d->address, d->socket_count > 0, later, (int)c->mode, why);
    if (fd < 0)
      return ERR_IO;
    d->owns_file = is_unix(d);
    d->sockets[d->socket_count++] = fd;
  }
  return OK;
}

static enum err client_open(const struct config_listener *c, struct door *d, struct buf *why) {
  d->client = calloc(1, sizeof *d->client);
  if (!d->client)
    return ERR_MEMORY;
  atomic_store(&d->client->refs, 1);
  d->client->http2 = c->http2;
  d->client->proxy_protocol = c->proxy_protocol;
  d->client->asks_certificate = c->client_certificates != CONFIG_CERTIFICATES_OFF;
  d->client->needs_certificate = c->client_certificates == CONFIG_CERTIFICATES_REQUIRED;
  int port = address_port((struct sockaddr *)&d->address.storage);
  if (port)
    snprintf(d->client->port, sizeof d->client->port, "%d", port);
  return c->tls ? tls_open(c, d->client, why) : OK;
}

static bool same_address(const struct address *a, const struct address *b) {
  return a->len == b->len && a->both_families == b->both_families &&
         memcmp(&a->storage, &b->storage, a->len) == 0;
}

/* The door before at the same address, unless another one goes on with it already. */
static int door_before(const struct doors *all, const struct door *d, const struct doors *before) {
  for (int i = 0; before && i < before->count; i++) {
    bool used = false;
    for (const struct door *o = all->doors; o < d; o++)
      used = used || o->kept == i;
    if (!used && same_address(&before->doors[i].address, &d->address))
      return i;
  }
  return -1;
}

static enum err door_open(struct doors *all, const struct config_listener *c, struct door *d,
                          const struct doors *before, struct handed *handed, struct buf *why) {
  d->kept = -1;
  d->mode = (int)c->mode;
  enum err e = address_parse(c->address, &d->address);
  if (!e)
    e = client_open(c, d, why);
  if (!e)
    d->kept = door_before(all, d, before);
  if (e || d->kept >= 0)
    return e;
  return sockets_open(c, d, all->workers, handed, why);
}

enum err doors_open(const struct config *c, int workers, const struct doors *before,
                    struct handed *handed, struct doors **out, struct buf *why) {
  struct doors *d = calloc(1, sizeof *d);
  if (!d)
    return ERR_MEMORY;
  d->workers = workers;
  d->doors = calloc((size_t)c->listener_count + 1, sizeof *d->doors);
  enum err e = d->doors ? OK : ERR_MEMORY;
  for (int i = 0; !e && i < c->listener_count; i++) {
    d->count++;
    e = door_open(d, &c->listeners[i], &d->doors[i], before, handed, why);
  }
  if (e)
    doors_free(d);
  else
    *out = d;
  return e;
}

void doors_succeed(struct doors *now, struct doors *before) {
  for (int i = 0; i < now->count; i++) {
    struct door *d = &now->doors[i], *o = d->kept >= 0 ? &before->doors[d->kept] : NULL;
    if (!o)
      continue;
    d->sockets = o->sockets;
    d->socket_count = o->socket_count;
    d->shared = o->shared;
    d->lent = o->lent;
    o->sockets = NULL;
    o->socket_count = 0;
    d->owns_file = o->owns_file;
    o->owns_file = false;
    if (d->owns_file && d->mode != o->mode)
      chmod(d->address.text + 5, (mode_t)d->mode);
  }
}

void doors_listen(const struct doors *d) {
  for (int i = 0; i < d->count; i++)
    for (int k = 0; k < d->doors[i].socket_count; k++)
      listen_begin(d->doors[i].sockets[k]);
}

struct doors *doors_free(struct doors *d) {
  if (!d)
    return NULL;
  for (int i = 0; i < d->count; i++) {
    client_door_unref(d->doors[i].client);
    for (int k = 0; k < d->doors[i].socket_count; k++)
      close(d->doors[i].sockets[k]);
    free(d->doors[i].sockets);
    if (d->doors[i].owns_file)
      unlink(d->doors[i].address.text + 5);
  }
  free(d->doors);
  free(d);
  return NULL;
}

int doors_count(const struct doors *d) {
  return d->count;
}

struct client_door *doors_at(const struct doors *d, int i) {
  return d->doors[i].client;
}

int doors_kept(const struct doors *d, int i) {
  return d->doors[i].kept;
}

/* Socket k is worker k's, and those there are more of go round. */
static bool is_for(const struct doors *d, const struct door *door, int socket, int worker) {
  return door->shared || socket % d->workers == worker;
}

int doors_sockets(const struct doors *d, int i, int worker) {
  const struct door *door = &d->doors[i];
  int n = 0;
  for (int k = 0; k < door->socket_count; k++)
    n += is_for(d, door, k, worker);
  return n;
}

enum err doors_take(const struct doors *d, int i, int worker, int *fds) {
  const struct door *door = &d->doors[i];
  int n = 0;
  for (int k = 0; k < door->socket_count; k++) {
    if (!is_for(d, door, k, worker))
      continue;
    fds[n] = fcntl(door->sockets[k], F_DUPFD_CLOEXEC, 0);
    if (fds[n++] >= 0)
      continue;
    while (--n > 0)
      close(fds[n - 1]);
    return ERR_IO;
  }
  return OK;
}

void doors_list(const struct doors *d, struct handed_list *to) {
  for (int i = 0; i < d->count; i++)
    for (int k = 0; k < d->doors[i].socket_count; k++)
      handed_list_add(to, d->doors[i].sockets[k], d->doors[i].lent);
}

void doors_own(struct doors *d, bool own) {
  for (struct door *door = d->doors; door < d->doors + d->count; door++) {
    door->owns_file = own && is_unix(door) && !door->lent;
    if (door->owns_file) /* it may have been another's, with another mode */
      chmod(door->address.text + 5, (mode_t)door->mode);
  }
}

/* The listeners of a process: sockets and TLS contexts, made on the main thread. When the
 * configuration is read again, new doors go on with the sockets of those before that have the same
 * address. */
#pragma once

#include "lib/base/err.h"
#include "lib/net/address.h"
#include "proxy/client/client.h"

struct buf;
struct config;
struct doors;
struct handed;
struct handed_list;

/* TLS contexts, and a socket for each worker, but for addresses that `before` (perhaps NULL) has
 * already; nothing changes there. Sockets that were `handed` (perhaps NULL) to us are used before
 * new ones are made, and these do not listen before doors_listen. A Unix socket is shared by all
 * workers, and so is one that was made without SO_REUSEPORT. On error *why names the address or
 * file and the remedy. */
enum err doors_open(const struct config *c, int workers, const struct doors *before,
                    struct handed *handed, struct doors **out, struct buf *why) MUST_CHECK;
/* `now` takes from `before`, with which it was opened, the sockets it goes on with. */
void doors_succeed(struct doors *now, struct doors *before);
/* Those sockets do so too that were made beside sockets which were handed over. */
void doors_listen(const struct doors *d);
/* Closes the sockets; those that workers have taken live on. Accepts NULL; returns NULL. */
struct doors *doors_free(struct doors *d);
int doors_count(const struct doors *d);
/* Valid as long as the doors, or a reference. */
struct client_door *doors_at(const struct doors *d, int i);
/* Its place in the doors before; -1: it is new. */
int doors_kept(const struct doors *d, int i);
/* How many sockets that worker accepts from. */
int doors_sockets(const struct doors *d, int i, int worker);
/* Duplicates of them, the caller's. ERR_IO: no descriptors are left; none is taken. */
enum err doors_take(const struct doors *d, int i, int worker, int *fds) MUST_CHECK;
/* All sockets, borrowed. */
void doors_list(const struct doors *d, struct handed_list *to);
/* Whether files of Unix sockets go with us, but for those that are lent. Those we made do from the
 * beginning; those another process made when it has left us its place, and its no more. */
void doors_own(struct doors *d, bool own);

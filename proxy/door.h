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

/* TLS contexts, and a socket for each worker (a Unix socket's is shared), but for addresses that
 * `before` (perhaps NULL) has already; nothing changes there. On error *why names the address or
 * file and the remedy. */
enum err doors_open(const struct config *c, int workers, const struct doors *before,
                    struct doors **out, struct buf *why) MUST_CHECK;
/* `now` takes from `before`, with which it was opened, the sockets it goes on with. */
void doors_succeed(struct doors *now, struct doors *before);
/* Closes the sockets that nobody has taken. Accepts NULL; returns NULL. */
struct doors *doors_free(struct doors *d);
int doors_count(const struct doors *d);
/* Valid as long as the doors, or a reference. */
struct client_door *doors_at(const struct doors *d, int i);
/* Its place in the doors before; -1: it is new. */
int doors_kept(const struct doors *d, int i);
/* The listening descriptor of that worker; the caller owns it from now on. -1: it was
 * taken already. */
int doors_take_socket(struct doors *d, int i, int worker);

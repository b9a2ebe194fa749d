/* The listeners of a process: sockets and TLS contexts made once, on the main thread,
 * before any worker runs. */
#pragma once

#include "lib/base/err.h"
#include "lib/net/address.h"
#include "proxy/client/client.h"

struct buf;
struct config;
struct doors;

/* TLS contexts, and a socket for each worker (a Unix socket's is shared). On
 * error *why names the address or file and the remedy. */
enum err doors_open(const struct config *c, int workers, struct doors **out,
                    struct buf *why) MUST_CHECK;
/* After the workers. Accepts NULL; returns NULL. */
struct doors *doors_free(struct doors *d);
int doors_count(const struct doors *d);
const struct client_door *doors_at(const struct doors *d, int i);
/* The listening descriptor of that worker; the caller owns it from now on. */
int doors_take_socket(struct doors *d, int i, int worker);

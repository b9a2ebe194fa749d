/* The operator's door: HTTP on a Unix socket, and optionally on loopback TCP.
 * /health /ready /metrics /status /explain/NAME. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"

struct admin;
struct buf;
struct config_admin;
struct edge;
struct loop;
struct scheduler;

/* On error *why names the address and the remedy. */
enum err admin_new(struct loop *loop, const struct config_admin *config, const struct edge *edge,
                   struct scheduler *scheduler, struct admin **out, struct buf *why) MUST_CHECK;
/* From now on /ready says no. */
void admin_stopping(struct admin *a);
/* Accepts NULL; returns NULL. */
struct admin *admin_free(struct admin *a);

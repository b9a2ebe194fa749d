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
struct store;

/* Without edge or scheduler (NULL) the process has not that role. All outlive it. On error *why
 * names the address and the remedy. */
enum err admin_new(struct loop *loop, const struct config_admin *config, struct store *store,
                   const struct edge *edge, struct scheduler *scheduler, struct admin **out,
                   struct buf *why) MUST_CHECK;
/* From now on /ready says no. */
void admin_stopping(struct admin *a);
/* Accepts NULL; returns NULL. */
struct admin *admin_free(struct admin *a);

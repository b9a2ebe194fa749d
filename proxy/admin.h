/* The operator's door: HTTP on a Unix socket, and optionally on loopback TCP.
 * /health /ready /metrics /status /explain/NAME, and on the Unix socket only POST /reload. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"

struct admin;
struct buf;
struct config_admin;
struct edge;
struct handed;
struct handed_list;
struct loop;
struct report_reloads;
struct scheduler;
struct store;

/* Without edge or scheduler (NULL) the process has not that role. All outlive it. Sockets that were
 * `handed` (perhaps NULL) to us are used before new ones are made. On error *why
 * names the address and the remedy. */
enum err admin_new(struct loop *loop, const struct config_admin *config, struct store *store,
                   const struct edge *edge, struct scheduler *scheduler,
                   const struct report_reloads *reloads, struct handed *handed, struct admin **out,
                   struct buf *why) MUST_CHECK;
/* What POST /reload does: true, or false and *why. To be set before the loop runs. */
typedef bool (*admin_reload_fn)(void *user, struct buf *why);
void admin_on_reload(struct admin *a, admin_reload_fn reload, void *user);
/* From now on /ready says no. */
void admin_stopping(struct admin *a);
/* The listening sockets, borrowed; and that another process goes on with them. */
void admin_sockets(const struct admin *a, struct handed_list *to);
void admin_hand_over(struct admin *a);
/* The process before has left us its place: the socket's file goes with us, if it is not lent. */
void admin_own_file(struct admin *a);
/* Accepts NULL; returns NULL. */
struct admin *admin_free(struct admin *a);

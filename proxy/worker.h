/* Starting, running and stopping workers: a thread each, with its own loop and its
 * own listening sockets. Called on the main thread. */
#pragma once

#include "lib/base/err.h"
#include "proxy/request/worker.h"

struct buf;
struct fleet_news;
struct token_set;
struct worker_thread;

/* Makes the worker and opens its listeners; it does not run yet. `cell` is its own; `log_fd`
 * may be -1; `trusted` outlives it. On error *why names the address and the remedy. */
enum err worker_new(struct process *p, int index, struct worker_cell *cell, int log_fd,
                    struct worker_thread **out, struct buf *why) MUST_CHECK;
enum err worker_start(struct worker_thread *t) MUST_CHECK;
/* By mail; the receiver owns the news and the reference of the set. ERR_MEMORY: not sent. */
enum err worker_news(struct worker_thread *t, struct fleet_news *n) MUST_CHECK;
enum err worker_tokens(struct worker_thread *t, struct token_set *s) MUST_CHECK;
/* No new connections or requests; the thread ends when the last request has, or at
 * once with `now`. */
void worker_stop(struct worker_thread *t, bool now);
/* Waits for the thread to end and frees everything. Accepts NULL; returns NULL. */
struct worker_thread *worker_join(struct worker_thread *t);

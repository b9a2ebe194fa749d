/* Starting, running and stopping workers: a thread each, with its own loop and its
 * own listening sockets. Called on the main thread. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"
#include "proxy/request/worker.h"

struct doors;
struct file;
struct fleet_news;
struct token_set;
struct worker_change;
struct worker_thread;

/* Makes the worker with everything it owns; it does not run yet, and has no doors. `cell` is its
 * own; log_fd may be -1. */
enum err worker_new(struct process *p, int index, struct worker_cell *cell, int log_fd,
                    struct worker_thread **out) MUST_CHECK;
/* The worker itself, for those who drive it by turns of its loop on their own thread instead of
 * starting it. */
struct worker *worker_of(struct worker_thread *t);
enum err worker_start(struct worker_thread *t) MUST_CHECK;
/* By mail; the receiver owns the news, and takes a reference of the set. ERR_MEMORY: not sent, and
 * the news still the caller's. Without a set no token is believed. */
enum err worker_news(struct worker_thread *t, struct fleet_news *n) MUST_CHECK;
enum err worker_tokens(struct worker_thread *t, struct token_set *s) MUST_CHECK;
/* known: all endpoints there are have been told, and the tokens; else requests for others are told
 * to come again. */
enum err worker_known(struct worker_thread *t, bool known) MUST_CHECK;

/* A change of the configuration, made ready first and then sent, so that all workers get it or
 * none. `file`: the new one, of which a reference is taken; NULL: as before. `doors`: those there
 * are from then on; NULL: as before; `first`: it had none before. NULL when memory or descriptors
 * ran out. */
struct worker_change *worker_change_new(struct worker_thread *t, struct file *file,
                                        const struct doors *doors, bool first) MUST_CHECK;
/* Connections that wait are accepted from now on. Listeners that are no more take in who has
 * connected, and close. */
void worker_change_send(struct worker_change *c);
/* One that was not sent. Accepts NULL; returns NULL. */
struct worker_change *worker_change_free(struct worker_change *c);

/* Whether the worker has come round since this was asked last; called now and then. */
bool worker_beats(struct worker_thread *t);
/* No new connections, and after drain_idle_s no new requests; the thread ends when the last request
 * has. With `now` requests end within a second: with 503, or as an aborted answer. May be called
 * again to hurry. */
void worker_stop(struct worker_thread *t, bool now);
/* Its last client has gone, nobody new comes, and what it is told is not read any more. */
bool worker_left(const struct worker_thread *t);
/* Waits for the thread to end. */
void worker_join(struct worker_thread *t);
/* After all workers were joined: they may still hold mail for each other. */
struct worker_thread *worker_free(struct worker_thread *t);

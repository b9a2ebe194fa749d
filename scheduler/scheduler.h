/* The companion role: decides how many replicas each endpoint has, starts and stops
 * them, and publishes what there is. It uses lib/ only and meets the proxy in the
 * store. One thread: that of the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct buf;
struct endpoint_def;
struct loop;
struct scheduler;
struct scheduler_config;
struct store;

typedef void (*scheduler_log_fn)(void *user, const char *endpoint, const char *text);

/* References of the definitions are taken; config and store outlive it. lease_ms: how long a
 * proxy is believed to live without a word. */
struct scheduler *scheduler_new(struct loop *loop, struct store *store,
                                const struct scheduler_config *config, int64_t lease_ms,
                                struct endpoint_def **defs, int count, scheduler_log_fn log,
                                void *user) MUST_CHECK;
/* Before a change of the endpoints: all that can fail. Nothing is different yet. */
enum err scheduler_prepare(struct scheduler *s, struct endpoint_def **defs, int count) MUST_CHECK;
/* After that, with the same definitions: these endpoints, and no others. One that is new is there
 * at once; one that is no more goes when its replicas have drained; replicas of another command or
 * address are replaced, the new before the old. */
void scheduler_reload(struct scheduler *s, struct endpoint_def **defs, int count);
/* Stops what it has started: TERM, after stop_grace_s KILL; then `done`, from the loop. */
void scheduler_stop(struct scheduler *s, void (*done)(void *user), void *user);
/* Another scheduler of this machine takes over, whom the store knows by the id `heir` ("": it did
 * not say): hands the lead over, and leaves to it what runs here. `done` from the loop. ERR_CLOSED:
 * the store is away, and with it whom to tell; nothing has changed. */
enum err scheduler_hand_over(struct scheduler *s, const char *heir, void (*done)(void *user),
                             void *user) MUST_CHECK;
/* After `done`. Accepts NULL; returns NULL. */
struct scheduler *scheduler_free(struct scheduler *s);
/* Whether it is the one that acts. */
bool scheduler_leads(const struct scheduler *s);
/* The last decisions in words with their numbers, the oldest first, as text or as a JSON
 * list; false when there is no such endpoint. */
bool scheduler_explain(struct scheduler *s, const char *endpoint, bool json, struct buf *out);

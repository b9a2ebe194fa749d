/* One endpoint under the scheduler's hand: what is desired, what there is, and the
 * steps from one to the other. */
#pragma once

#include <stdbool.h>

#include "lib/base/list.h"
#include "lib/base/slice.h"
#include "lib/fleet/endpoint.h"
#include "lib/net/loop.h"
#include "scheduler/driver.h"
#include "scheduler/loads.h"
#include "scheduler/policy.h"

struct buf;
struct load_record;
struct probe;
struct scheduled;
struct scheduler_config;
struct store;

enum {
  DECISIONS_KEPT = 64,
  BACKOFF_FIRST_US = 250 * 1000,
  BACKOFF_MOST_US = 30 * 1000 * 1000,
  FAILED_REST_US = 300 * 1000 * 1000, /* a failed endpoint is tried again after this, when wanted */
  PROBE_STARTING_US = 100 * 1000,     /* at least this often while starting */
  UNHEALTHY_MAX = 3,                  /* failed probes of a ready replica before it is replaced */
};

struct scheduled_replica {
  struct scheduled *owner;
  struct driver_replica driver;
  struct endpoint_def *def; /* that it was made from, or one that would have made the same */
  struct replica_record record;
  struct probe *probe;
  usec_t began_us, probe_at_us, drain_us, term_us;
  int unhealthy;
  int64_t drain_version; /* of the record that says it drains; 0: not published yet */
  bool stopping, killed, was_ready, failed;
  bool outdated; /* made from a definition that is no more: goes when others are ready */
};

struct decision {
  usec_t wall_us;
  int from, to;
  char reason[POLICY_REASON_BYTES];
};

/* What all endpoints have in common. */
struct scheduling {
  struct loop *loop;
  struct store *store;
  const struct scheduler_config *config;
  void (*log)(void *user, const char *endpoint, const char *text);
  void *user;
  bool leading;
  bool blind;          /* the store is away: nothing is decided, started or stopped */
  usec_t settled_from; /* after the store came back: until then nothing is taken down */
  char **proxies;      /* those that live, as last seen */
  int proxy_count;
};

struct scheduled {
  struct scheduling *all;
  char name[ENDPOINT_NAME_BYTES_MAX + 1]; /* its definition may go */
  struct endpoint_def *def;
  struct policy policy;
  int desired;
  struct scheduled_replica *replicas[REPLICAS_PER_ENDPOINT_MAX];
  int replica_count;
  int serial;
  struct loads loads;
  struct endpoint_record *found; /* what the leader says, while it is somebody else */
  int failures;
  usec_t backoff_until, failed_until;
  usec_t yielded_us; /* when the lead was lost */
  bool failed, dirty, stopping;
  bool removed; /* from the configuration: its replicas go, then it goes itself */
  char reason[512];
  int64_t cold_start_ms, version;
  struct decision decisions[DECISIONS_KEPT];
  int decision_count; /* ever made */
};

struct scheduled *scheduled_new(struct endpoint_def *def, struct scheduling *all) MUST_CHECK;
struct scheduled *scheduled_free(struct scheduled *e);
/* Asks the policy. */
void scheduled_decide(struct scheduled *e, usec_t now);
/* Takes the steps that are due, and publishes what has changed. */
void scheduled_reconcile(struct scheduled *e, usec_t now);
void scheduled_load(struct scheduled *e, const struct load_record *r);
void scheduled_load_gone(struct scheduled *e, const char *proxy);
/* Puts what has changed into the store; as long as `dirty` is set that has not been done. */
void scheduled_publish(struct scheduled *e);
/* All replicas must go, without draining. */
void scheduled_stop(struct scheduled *e);
void scheduled_explain(const struct scheduled *e, bool json, struct buf *out);

/* For the files of struct scheduled: an empty replica of this definition, of which a reference is
 * taken, and driver, added; NULL when there are too many. */
struct scheduled_replica *scheduled_replica_new(struct scheduled *e, struct endpoint_def *def,
                                                const struct driver_ops *driver, usec_t now);
const struct driver_ops *scheduled_driver(const struct endpoint_def *def);
/* Forgets the replica, whatever it does. */
void scheduled_replica_forget(struct scheduled_replica *r);
void scheduled_replica_state(struct scheduled_replica *r, enum replica_state state);
void scheduled_replica_stop(struct scheduled_replica *r, usec_t now);
void scheduled_say(struct scheduled *e, const char *format, ...) PRINTF(2, 3);

/* change.c: the configuration was read again. */

/* The definition is another one, of which a reference is taken; or the same as before. Replicas it
 * would not have made serve until new ones are ready. */
void scheduled_change(struct scheduled *e, struct endpoint_def *def, usec_t now);
/* One replica goes by this definition from now on, or, if that would not have made it, is outdated.
 */
void scheduled_replica_change(struct scheduled_replica *r, struct endpoint_def *def);
/* It is no more in the configuration. */
void scheduled_remove(struct scheduled *e, usec_t now);

/* handover.c: another scheduler leads, or led before. */

/* Somebody else's record of this endpoint. */
void scheduled_found(struct scheduled *e, const struct endpoint_record *r);
/* We lead from now on: goes on with what the one before has left. */
void scheduled_take_over(struct scheduled *e, usec_t now);
/* Says what there is, and lets go of it; what could not be said is stopped. */
void scheduled_hand_over(struct scheduled *e, usec_t now);
/* Somebody else leads: replicas it knows are its own from now on, others go. */
void scheduled_yield(struct scheduled *e, usec_t now);

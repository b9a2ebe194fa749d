#include "scheduler/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/fleet/load.h"
#include "lib/store/store.h"
#include "scheduler/made.h"
#include "scheduler/probe.h"

enum { LOG_TAIL_BYTES = 400, REPLACED_AT_ONCE = 1 };

void scheduled_say(struct scheduled *e, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  e->all->log(e->all->user, e->def->name, text);
}

struct scheduled *scheduled_new(struct endpoint_def *def, struct scheduling *all) {
  struct scheduled *e = calloc(1, sizeof *e);
  if (!e)
    return NULL;
  e->def = endpoint_def_ref(def);
  snprintf(e->name, sizeof e->name, "%s", def->name);
  e->all = all;
  e->version = clock_wall() / USEC_PER_MS; /* more than any that was published before */
  loads_init(&e->loads, e->version);
  e->dirty = true;
  return e;
}

void scheduled_replica_forget(struct scheduled_replica *r) {
  struct scheduled *e = r->owner;
  probe_free(r->probe);
  r->driver.ops->release(&r->driver);
  struct endpoint_def *def = r->def;
  for (int i = 0; i < e->replica_count; i++)
    if (e->replicas[i] == r) {
      e->replicas[i] = e->replicas[--e->replica_count];
      break;
    }
  free(r);
  endpoint_def_unref(def);
  e->dirty = true;
}

struct scheduled *scheduled_free(struct scheduled *e) {
  if (!e)
    return NULL;
  while (e->replica_count)
    scheduled_replica_forget(e->replicas[0]);
  loads_free(&e->loads);
  endpoint_record_free(e->found);
  endpoint_def_unref(e->def);
  free(e);
  return NULL;
}

/* What the replica said last, for operators only. */
static void log_tail(const struct scheduled_replica *r, char *to, size_t room) {
  to[0] = '\0';
  FILE *f = r->driver.log_path[0] ? fopen(r->driver.log_path, "re") : NULL;
  if (!f)
    return;
  char text[LOG_TAIL_BYTES + 1];
  if (fseek(f, -LOG_TAIL_BYTES, SEEK_END))
    rewind(f);
  size_t n = fread(text, 1, LOG_TAIL_BYTES, f);
  fclose(f);
  while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
    n--;
  text[n] = '\0';
  snprintf(to, room, "%s", text);
}

void scheduled_replica_state(struct scheduled_replica *r, enum replica_state state) {
  r->record.state = state;
  r->record.since_ms = clock_wall() / 1000;
  r->owner->dirty = true;
}

/* A start, or a life, that ended badly. */
static void count_failure(struct scheduled *e, const struct scheduled_replica *r, const char *what,
                          usec_t now) {
  e->failures = r && r->was_ready ? 1 : e->failures + 1;
  usec_t pause = BACKOFF_FIRST_US;
  for (int i = 1; i < e->failures && pause < BACKOFF_MOST_US; i++)
    pause *= 2;
  if (pause > BACKOFF_MOST_US)
    pause = BACKOFF_MOST_US;
  e->backoff_until = now + pause + rand() % (pause / 4 + 1);
  char tail[LOG_TAIL_BYTES + 1] = "";
  if (r)
    log_tail(r, tail, sizeof tail);
  snprintf(e->reason, sizeof e->reason, "%s%s%s", what, *tail ? ": " : "", tail);
  scheduled_say(e, "%s %s (%d in a row): %s", r ? r->record.id : "a replica", what, e->failures,
                tail);
  if (e->failures >= e->def->failures_max) {
    e->failed = true;
    e->failed_until = now + FAILED_REST_US;
  }
  e->dirty = true;
}

static void replica_exited(struct driver_replica *d) {
  struct scheduled_replica *r = container_of(d, struct scheduled_replica, driver);
  struct scheduled *e = r->owner;
  usec_t now = loop_now(e->all->loop);
  if (!r->stopping)
    count_failure(e, r, r->was_ready ? "ended by itself" : "ended before it was ready", now);
  scheduled_replica_forget(r);
  scheduled_reconcile(e, now);
}

static void replica_ready(struct scheduled_replica *r, usec_t now) {
  struct scheduled *e = r->owner;
  int64_t took_ms = (now - r->began_us) / USEC_PER_MS;
  e->cold_start_ms = e->cold_start_ms ? (e->cold_start_ms * 3 + took_ms) / 4 : took_ms;
  e->failures = 0;
  e->failed = false;
  e->reason[0] = '\0';
  r->was_ready = true;
  scheduled_replica_state(r, REPLICA_READY);
  scheduled_say(e, "%s is ready at %s after %lld ms", r->record.id, r->record.address,
                (long long)took_ms);
}

/* Unhealthy for good, or late: it is stopped and counted as failed. */
static void give_up(struct scheduled_replica *r, const char *what, usec_t now) {
  count_failure(r->owner, r, what, now);
  r->stopping = r->killed = true;
  scheduled_replica_state(r, REPLICA_FAILED);
  r->driver.ops->stop(&r->driver, true);
}

static void probed(void *user, bool healthy) {
  struct scheduled_replica *r = user;
  struct scheduled *e = r->owner;
  usec_t now = loop_now(e->all->loop);
  r->probe = probe_free(r->probe);
  if (r->stopping)
    return;
  if (healthy) {
    r->unhealthy = 0;
    if (r->record.state == REPLICA_STARTING && r->driver.ops->proven(&r->driver))
      replica_ready(r, now);
  } else if (r->record.state == REPLICA_READY && ++r->unhealthy >= UNHEALTHY_MAX) {
    give_up(r, "failed its health checks", now);
  }
  scheduled_reconcile(e, now);
}

static void probe_if_due(struct scheduled_replica *r, usec_t now) {
  const struct endpoint_def *def = r->def;
  if (r->probe || r->stopping || now < r->probe_at_us)
    return;
  usec_t interval = def->health_interval_ms * USEC_PER_MS;
  if (r->record.state == REPLICA_STARTING && interval > PROBE_STARTING_US)
    interval = PROBE_STARTING_US;
  r->probe_at_us = now + interval;
  enum err e = probe_start(r->owner->all->loop, r->record.address, def->health_path,
                           def->health_timeout_ms, probed, r, &r->probe);
  if (!e || e == ERR_LIMIT || r->record.state != REPLICA_READY)
    return;
  if (++r->unhealthy >= UNHEALTHY_MAX)
    give_up(r, "failed its health checks", now);
}

static int static_index(const struct scheduled *e) {
  for (int index = 0;; index++) {
    bool used = false;
    for (int i = 0; i < e->replica_count; i++)
      used = used || e->replicas[i]->driver.index == index;
    if (!used)
      return index;
  }
}

const struct driver_ops *scheduled_driver(const struct endpoint_def *def) {
  return def->driver == ENDPOINT_DRIVER_STATIC ? &driver_static : &driver_process;
}

struct scheduled_replica *scheduled_replica_new(struct scheduled *e, struct endpoint_def *def,
                                                const struct driver_ops *driver, usec_t now) {
  struct scheduled_replica *r =
      e->replica_count < REPLICAS_PER_ENDPOINT_MAX ? calloc(1, sizeof *r) : NULL;
  if (!r)
    return NULL;
  r->owner = e;
  r->def = endpoint_def_ref(def);
  r->began_us = now;
  r->driver = (struct driver_replica){.ops = driver,
                                      .loop = e->all->loop,
                                      .config = e->all->config,
                                      .def = def,
                                      .index = static_index(e),
                                      .id = r->record.id,
                                      .exited = replica_exited};
  e->replicas[e->replica_count++] = r;
  return r;
}

static bool replica_start(struct scheduled *e, usec_t now) {
  struct scheduled_replica *r = scheduled_replica_new(e, e->def, scheduled_driver(e->def), now);
  if (!r)
    return false;
  snprintf(r->record.id, sizeof r->record.id, "%s-%d", e->def->name, ++e->serial);
  char text[512] = "";
  struct buf why = BUF_INIT(sizeof text);
  if (r->driver.ops->start(&r->driver, &why) != OK) {
    snprintf(text, sizeof text, "could not be started: %s", why.data ? why.data : "no memory");
    buf_free(&why);
    count_failure(e, NULL, text, now);
    scheduled_replica_forget(r);
    return false;
  }
  buf_free(&why);
  snprintf(r->record.address, sizeof r->record.address, "%s", r->driver.address);
  snprintf(r->record.handle, sizeof r->record.handle, "%s", r->driver.handle);
  made_of(r->def, e->all->config, r->record.made);
  scheduled_replica_state(r, REPLICA_STARTING);
  scheduled_say(e, "%s starts at %s", r->record.id, r->record.address);
  return true;
}

static bool is_alive(const struct scheduled_replica *r) {
  return !r->stopping && (r->record.state == REPLICA_STARTING || r->record.state == REPLICA_READY);
}

static int count_alive(const struct scheduled *e) {
  int n = 0;
  for (int i = 0; i < e->replica_count; i++)
    n += is_alive(e->replicas[i]);
  return n;
}

static int count_of(const struct scheduled *e, bool outdated, bool ready) {
  int n = 0;
  for (int i = 0; i < e->replica_count; i++) {
    const struct scheduled_replica *r = e->replicas[i];
    n += is_alive(r) && r->outdated == outdated && (!ready || r->record.state == REPLICA_READY);
  }
  return n;
}

/* One that is not ready yet, else the least busy, else the youngest. */
static struct scheduled_replica *victim(const struct scheduled *e, bool outdated) {
  struct scheduled_replica *best = NULL;
  int64_t best_active = 0;
  for (int i = 0; i < e->replica_count; i++) {
    struct scheduled_replica *r = e->replicas[i];
    if (!is_alive(r) || r->outdated != outdated)
      continue;
    int64_t active =
        r->record.state == REPLICA_STARTING ? -1 : loads_active(&e->loads, r->record.id);
    if (!best || active < best_active || (active == best_active && r->began_us > best->began_us)) {
      best = r;
      best_active = active;
    }
  }
  return best;
}

static void drain(struct scheduled_replica *r, usec_t now) {
  r->drain_us = now;
  r->drain_version = 0;
  scheduled_replica_state(r, REPLICA_DRAINING);
  scheduled_say(r->owner, "%s drains", r->record.id);
}

void scheduled_replica_stop(struct scheduled_replica *r, usec_t now) {
  r->stopping = true;
  r->term_us = now;
  scheduled_replica_state(r, REPLICA_STOPPED);
  scheduled_say(r->owner, "%s is stopped", r->record.id);
  r->driver.ops->stop(&r->driver, false);
}

/* Every proxy has heard of it, and nobody has a request there. */
static bool is_drained(const struct scheduled *e, const struct scheduled_replica *r, usec_t now) {
  return r->drain_version && now >= e->all->settled_from &&
         loads_left(&e->loads, r->record.id, r->drain_version, (const char *const *)e->all->proxies,
                    e->all->proxy_count);
}

static void replica_step(struct scheduled_replica *r, usec_t now) {
  struct scheduled *e = r->owner;
  const struct endpoint_def *def = r->def;
  if (r->stopping) {
    if (!r->killed && now - r->term_us >= def->stop_grace_s * USEC_PER_S) {
      r->killed = true;
      r->driver.ops->stop(&r->driver, true);
    }
  } else if (r->record.state == REPLICA_DRAINING) {
    if (is_drained(e, r, now) || now - r->drain_us >= def->drain_grace_s * USEC_PER_S)
      scheduled_replica_stop(r, now);
  } else if (r->record.state == REPLICA_STARTING &&
             now - r->began_us >= def->start_grace_s * USEC_PER_S) {
    give_up(r, "was not ready within start_grace_s", now);
  } else {
    probe_if_due(r, now);
  }
}

static enum endpoint_state state_of(const struct scheduled *e) {
  int ready = 0;
  for (int i = 0; i < e->replica_count; i++)
    ready += e->replicas[i]->record.state == REPLICA_READY;
  if (e->def->paused || e->removed)
    return ENDPOINT_PAUSED;
  if (ready)
    return ENDPOINT_RUNNING;
  if (e->failed)
    return ENDPOINT_FAILED;
  return e->desired ? ENDPOINT_INITIALIZING : ENDPOINT_SCALED_TO_ZERO;
}

static bool is_static(const struct scheduled *e) {
  return e->def->driver == ENDPOINT_DRIVER_STATIC;
}

/* Replicas that nobody stops are there also when we are not. */
void scheduled_publish(struct scheduled *e) {
  if (!e->dirty || (e->stopping && is_static(e)) || (e->removed && e->replica_count == 0))
    return;
  struct replica_record records[REPLICAS_PER_ENDPOINT_MAX];
  for (int i = 0; i < e->replica_count; i++)
    records[i] = e->replicas[i]->record;
  struct endpoint_record record = {.def = e->def,
                                   .state = state_of(e),
                                   .cold_start_ms = e->cold_start_ms,
                                   .version = ++e->version,
                                   .replicas = records,
                                   .replica_count = e->replica_count};
  snprintf(record.reason, sizeof record.reason, "%s", e->reason);
  if (store_put_endpoint(e->all->store, e->def->name, &record) != OK)
    return; /* the next step tries again */
  e->dirty = false;
  for (int i = 0; i < e->replica_count; i++)
    if (e->replicas[i]->record.state == REPLICA_DRAINING && !e->replicas[i]->drain_version)
      e->replicas[i]->drain_version = e->version;
}

static int wanted_count(const struct scheduled *e) {
  if (e->stopping || e->removed)
    return 0;
  if (is_static(e)) {
    int n = 0;
    while (!e->def->paused && e->def->addresses[n])
      n++;
    return n;
  }
  return e->desired;
}

/* Those made from a definition that is no more serve until others are ready in their place. */
static void shrink(struct scheduled *e, bool outdated, int most, usec_t now) {
  for (int n = count_of(e, outdated, false); n > 0 && n > most; n--) {
    struct scheduled_replica *r = victim(e, outdated);
    if (r->record.state == REPLICA_READY)
      drain(r, now);
    else
      scheduled_replica_stop(r, now);
  }
}

void scheduled_reconcile(struct scheduled *e, usec_t now) {
  if ((!e->all->leading || e->all->blind) && !e->stopping)
    return;
  for (int i = e->replica_count - 1; i >= 0; i--)
    if (i < e->replica_count)
      replica_step(e->replicas[i], now);
  int wanted = wanted_count(e);
  if (!e->stopping) {
    shrink(e, true, wanted - count_of(e, false, true), now);
    shrink(e, false, wanted, now);
  }
  int alive = count_of(e, false, false), old = count_of(e, true, false);
  int most = wanted + (old ? REPLACED_AT_ONCE : 0);
  while (alive < wanted && alive + old < most && now >= e->backoff_until && !e->failed &&
         replica_start(e, now))
    alive++;
  for (int i = 0; i < e->replica_count; i++)
    probe_if_due(e->replicas[i], now);
  scheduled_publish(e);
}

static void note(struct scheduled *e, const struct policy_decision *d) {
  struct decision *kept = &e->decisions[e->decision_count++ % DECISIONS_KEPT];
  *kept = (struct decision){.wall_us = clock_wall(), .from = e->desired, .to = d->desired};
  memcpy(kept->reason, d->reason, sizeof kept->reason);
  scheduled_say(e, "%d -> %d replicas: %s", e->desired, d->desired, d->reason);
}

void scheduled_decide(struct scheduled *e, usec_t now) {
  struct policy_sample s = {.at = now};
  loads_sum(&e->loads, &s);
  if (e->failed && s.wanted && now >= e->failed_until) {
    e->failed = false;
    e->failures = 0;
    e->dirty = true;
  }
  struct policy_decision d =
      policy_decide(&e->policy, &e->def->scaling, e->def->paused, e->desired, count_alive(e), &s);
  bool unsettled = now < e->all->settled_from && d.desired < e->desired;
  if (!d.reason[0] || d.desired == e->desired || unsettled)
    return;
  note(e, &d);
  e->desired = d.desired;
  e->dirty = true;
}

void scheduled_load(struct scheduled *e, const struct load_record *r) {
  if (loads_put(&e->loads, r) != OK)
    scheduled_say(e, "the load of %s is left out: too many proxies", r->proxy);
}

void scheduled_load_gone(struct scheduled *e, const char *proxy) {
  loads_gone(&e->loads, proxy);
}

void scheduled_stop(struct scheduled *e) {
  e->stopping = true;
  usec_t now = loop_now(e->all->loop);
  for (int i = 0; i < e->replica_count; i++)
    if (!e->replicas[i]->stopping)
      scheduled_replica_stop(e->replicas[i], now);
}

static void explain_one(const struct decision *d, bool json, struct buf *out) {
  time_t seconds = d->wall_us / USEC_PER_S;
  struct tm tm;
  char when[32];
  gmtime_r(&seconds, &tm);
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
  if (!json) {
    buf_printf(out, "%s  %d -> %d  %s\n", when, d->from, d->to, d->reason);
    return;
  }
  buf_printf(out, "{\"time\":\"%s\",\"from\":%d,\"to\":%d,\"reason\":", when, d->from, d->to);
  buf_json(out, slice_str(d->reason));
  buf_str(out, "}");
}

void scheduled_explain(const struct scheduled *e, bool json, struct buf *out) {
  int kept = e->decision_count < DECISIONS_KEPT ? e->decision_count : DECISIONS_KEPT;
  buf_str(out, json ? "[" : "");
  for (int i = e->decision_count - kept; i < e->decision_count; i++) {
    if (json && i > e->decision_count - kept)
      buf_str(out, ",");
    explain_one(&e->decisions[i % DECISIONS_KEPT], json, out);
  }
  if (json)
    buf_str(out, "]");
  else if (kept == 0)
    buf_str(out, "No decision has been made yet.\n");
}

/* One scheduler leads, others stand by: going on where the one before has stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/endpoint.h"
#include "scheduler/made.h"

void scheduled_found(struct scheduled *e, const struct endpoint_record *r) {
  endpoint_record_free(e->found);
  e->found = endpoint_record_copy(r);
}

/* The number in "demo-7", so that no id is given out twice. */
static int serial_of(const char *id) {
  const char *dash = strrchr(id, '-');
  return dash ? atoi(dash + 1) : 0;
}

/* By which it was started: the definition may have got another one since. */
static const struct driver_ops *driver_of(const struct replica_record *record) {
  return record->handle[0] ? &driver_process : &driver_static;
}

/* Whether our own definition would have made it. Of one that a program started which did not say
 * from what, this is believed. */
static void compare(struct scheduled_replica *r, struct scheduled *e) {
  scheduled_replica_change(r, e->def);
  if (!r->outdated && !r->record.made[0])
    made_of(e->def, e->all->config, r->record.made);
  if (r->outdated)
    scheduled_say(e, "%s was started from another configuration", r->record.id);
}

/* One that was being stopped may not have heard of it: that is brought to its end. */
static void recover(struct scheduled *e, const struct replica_record *record, usec_t now) {
  int serial = serial_of(record->id);
  if (serial > e->serial)
    e->serial = serial;
  struct scheduled_replica *r = scheduled_replica_new(e, e->found->def, driver_of(record), now);
  if (!r)
    return;
  r->record = *record;
  r->was_ready = record->state != REPLICA_STARTING;
  r->drain_us = now;
  snprintf(r->driver.address, sizeof r->driver.address, "%s", record->address);
  snprintf(r->driver.handle, sizeof r->driver.handle, "%s", record->handle);
  bool found = r->driver.ops->recover(&r->driver);
  scheduled_say(e, found ? "%s at %s is taken over" : "%s at %s is not there any more", record->id,
                record->address);
  if (!found)
    scheduled_replica_forget(r);
  else if (record->state == REPLICA_STOPPED || record->state == REPLICA_FAILED)
    scheduled_replica_stop(r, now);
  else if (!e->removed)
    compare(r, e);
}

static bool is_ours(const struct scheduled *e, const char *id) {
  for (int i = 0; i < e->replica_count; i++)
    if (strcmp(e->replicas[i]->record.id, id) == 0)
      return true;
  return false;
}

void scheduled_take_over(struct scheduled *e, usec_t now) {
  e->dirty = true;
  e->yielded_us = 0;
  if (!e->found)
    return;
  if (e->removed)
    scheduled_say(e, "is no more in the configuration");
  if (e->version < e->found->version)
    e->version = e->found->version;
  e->cold_start_ms = e->found->cold_start_ms;
  for (int i = 0; i < e->found->replica_count; i++) {
    const struct replica_record *record = &e->found->replicas[i];
    bool left = e->removed && driver_of(record) == &driver_static; /* nobody stops them */
    if (!left && !is_ours(e, record->id))
      recover(e, record, now);
  }
  int alive = 0;
  for (int i = 0; i < e->replica_count; i++)
    alive += e->replicas[i]->record.state != REPLICA_DRAINING && !e->replicas[i]->stopping;
  if (e->desired < alive)
    e->desired = alive;
  e->found = endpoint_record_free(e->found);
}

static bool is_known(const struct endpoint_record *found, const char *id) {
  for (int i = 0; found && i < found->replica_count; i++)
    if (strcmp(found->replicas[i].id, id) == 0)
      return true;
  return false;
}

void scheduled_yield(struct scheduled *e, usec_t now) {
  if (!e->yielded_us)
    e->yielded_us = now;
  bool late = now - e->yielded_us >= e->def->drain_grace_s * USEC_PER_S;
  for (int i = e->replica_count - 1; i >= 0; i--) {
    struct scheduled_replica *r = e->replicas[i];
    if (is_known(e->found, r->record.id) && !r->stopping)
      scheduled_replica_forget(r);
    else if (late && !r->stopping)
      scheduled_replica_stop(r, now);
    else if (r->stopping && !r->killed && now - r->term_us >= e->def->stop_grace_s * USEC_PER_S) {
      r->killed = true;
      r->driver.ops->stop(&r->driver, true);
    }
  }
  e->desired = 0;
}

void scheduled_hand_over(struct scheduled *e, usec_t now) {
  if (e->all->leading)
    scheduled_publish(e);
  if (e->all->leading && e->dirty && e->replica_count) {
    scheduled_say(e, "cannot be handed over: the store does not take its record");
    scheduled_stop(e);
    return;
  }
  while (e->replica_count)
    scheduled_replica_forget(e->replicas[0]);
  e->dirty = false; /* whoever leads now says what there is */
}

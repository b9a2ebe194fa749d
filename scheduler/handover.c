/* One scheduler leads, others stand by: going on where the one before has stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/endpoint.h"

void scheduled_found(struct scheduled *e, const struct endpoint_record *r) {
  endpoint_record_free(e->found);
  e->found = endpoint_record_copy(r);
}

/* The number in "demo-7", so that no id is given out twice. */
static int serial_of(const char *id) {
  const char *dash = strrchr(id, '-');
  return dash ? atoi(dash + 1) : 0;
}

/* One that was being stopped may not have heard of it: that is brought to its end. */
static void recover(struct scheduled *e, const struct replica_record *record, usec_t now) {
  int serial = serial_of(record->id);
  if (serial > e->serial)
    e->serial = serial;
  struct scheduled_replica *r = scheduled_replica_new(e, now);
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
  bool left = e->removed && e->def->driver == ENDPOINT_DRIVER_STATIC; /* nobody stops them */
  for (int i = 0; !left && i < e->found->replica_count; i++)
    if (!is_ours(e, e->found->replicas[i].id))
      recover(e, &e->found->replicas[i], now);
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

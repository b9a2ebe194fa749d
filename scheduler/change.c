/* The configuration was read again: from one definition to the next without a gap. */
#include <string.h>

#include "lib/fleet/endpoint_rows.h"
#include "lib/option/option.h"
#include "scheduler/endpoint.h"
#include "scheduler/made.h"

/* The place of an address in a definition; -1 when it is not there. */
static int index_of(const struct endpoint_def *def, const char *address) {
  for (int i = 0; def->addresses && def->addresses[i]; i++)
    if (strcmp(def->addresses[i], address) == 0)
      return i;
  return -1;
}

/* Whether this definition would have made the same replica. */
static bool fits(const struct scheduled_replica *r, const struct endpoint_def *def) {
  char made[REPLICA_MADE_BYTES];
  if (r->driver.ops != scheduled_driver(def))
    return false;
  if (def->driver == ENDPOINT_DRIVER_STATIC)
    return index_of(def, r->record.address) >= 0;
  made_of(def, r->owner->all->config, made);
  return !made[0] || !r->record.made[0] || strcmp(made, r->record.made) == 0;
}

void scheduled_replica_change(struct scheduled_replica *r, struct endpoint_def *def) {
  r->outdated = !fits(r, def);
  r->driver.index = -1;
  if (r->outdated)
    return;
  if (def->driver == ENDPOINT_DRIVER_STATIC)
    r->driver.index = index_of(def, r->record.address);
  endpoint_def_unref(r->def);
  r->def = endpoint_def_ref(def);
  r->driver.def = def;
}

void scheduled_change(struct scheduled *e, struct endpoint_def *def, usec_t now) {
  bool same = !e->removed && option_same(&endpoint_table, e->def, def);
  if (same)
    return;
  e->removed = false;
  for (int i = 0; i < e->replica_count; i++)
    scheduled_replica_change(e->replicas[i], def);
  endpoint_def_unref(e->def);
  e->def = endpoint_def_ref(def);
  e->failed = false; /* perhaps that was what is mended now */
  e->failures = 0;
  e->backoff_until = now;
  e->reason[0] = '\0';
  e->dirty = true;
  if (e->all->leading)
    scheduled_say(e, "has a new definition");
}

void scheduled_remove(struct scheduled *e, usec_t now) {
  if (e->removed)
    return;
  e->removed = e->dirty = true;
  if (!e->all->leading)
    return;
  scheduled_say(e, "is no more in the configuration");
  for (int i = e->replica_count - 1; i >= 0; i--)
    if (e->replicas[i]->driver.ops == &driver_static) /* nobody stops them: who is there stays */
      scheduled_replica_forget(e->replicas[i]);
}

#include "lib/fleet/endpoint.h"

#include <stdlib.h>
#include <string.h>

#include "lib/fleet/endpoint_rows.h"
#include "lib/option/option.h"

struct endpoint_def *endpoint_def_ref(struct endpoint_def *d) {
  __atomic_add_fetch(&d->refs, 1, __ATOMIC_RELAXED);
  return d;
}

struct endpoint_def *endpoint_def_unref(struct endpoint_def *d) {
  if (d && __atomic_sub_fetch(&d->refs, 1, __ATOMIC_ACQ_REL) == 0) {
    free(d->name);
    option_free(&endpoint_table, d);
    free(d);
  }
  return NULL;
}

struct endpoint_record *endpoint_record_copy(const struct endpoint_record *r) {
  struct endpoint_record *copy = malloc(sizeof *copy);
  size_t bytes = (size_t)r->replica_count * sizeof *r->replicas;
  struct replica_record *replicas = malloc(bytes + 1);
  if (!copy || !replicas) {
    free(copy);
    free(replicas);
    return NULL;
  }
  *copy = *r;
  copy->replicas = replicas;
  if (bytes)
    memcpy(replicas, r->replicas, bytes);
  endpoint_def_ref(copy->def);
  return copy;
}

struct endpoint_record *endpoint_record_free(struct endpoint_record *r) {
  if (!r)
    return NULL;
  endpoint_def_unref(r->def);
  free(r->replicas);
  free(r);
  return NULL;
}

const char *endpoint_state_word(enum endpoint_state s) {
  static const char *const words[] = {
      [ENDPOINT_PENDING] = "pending",   [ENDPOINT_INITIALIZING] = "initializing",
      [ENDPOINT_UPDATING] = "updating", [ENDPOINT_UPDATE_FAILED] = "updateFailed",
      [ENDPOINT_RUNNING] = "running",   [ENDPOINT_PAUSED] = "paused",
      [ENDPOINT_FAILED] = "failed",     [ENDPOINT_SCALED_TO_ZERO] = "scaledToZero"};
  return words[s];
}

bool endpoint_state_find(const char *word, enum endpoint_state *s) {
  for (int i = 0; i <= ENDPOINT_SCALED_TO_ZERO; i++)
    if (strcmp(word, endpoint_state_word((enum endpoint_state)i)) == 0) {
      *s = (enum endpoint_state)i;
      return true;
    }
  return false;
}

const char *replica_state_word(enum replica_state s) {
  static const char *const words[] = {[REPLICA_STARTING] = "starting",
                                      [REPLICA_READY] = "ready",
                                      [REPLICA_DRAINING] = "draining",
                                      [REPLICA_STOPPED] = "stopped",
                                      [REPLICA_FAILED] = "failed"};
  return words[s];
}

const char *endpoint_access_word(enum endpoint_access a) {
  static const char *const words[] = {[ACCESS_PRIVATE] = "private",
                                      [ACCESS_AUTHENTICATED] = "authenticated",
                                      [ACCESS_PUBLIC] = "public"};
  return words[a];
}

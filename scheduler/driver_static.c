/* Replicas that are there already: addresses from the configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fleet/endpoint.h"
#include "lib/net/loop.h"
#include "scheduler/driver.h"

struct static_state {
  struct post gone_post;
  struct driver_replica *replica;
};

static void static_gone(struct post *p) {
  struct driver_replica *r = container_of(p, struct static_state, gone_post)->replica;
  r->exited(r);
}

static enum err state_new(struct driver_replica *r) {
  struct static_state *s = calloc(1, sizeof *s);
  if (!s)
    return ERR_MEMORY;
  s->replica = r;
  post_init(&s->gone_post, static_gone);
  r->state = s;
  return OK;
}

static enum err static_start(struct driver_replica *r, struct buf *why) {
  snprintf(r->address, sizeof r->address, "%s", r->def->addresses[r->index]);
  return state_new(r);
}

static bool static_recover(struct driver_replica *r) {
  for (r->index = 0; r->def->addresses && r->def->addresses[r->index]; r->index++)
    if (strcmp(r->def->addresses[r->index], r->address) == 0)
      return state_new(r) == OK;
  return false;
}

static bool static_proven(const struct driver_replica *r) {
  return true;
}

static void static_stop(struct driver_replica *r, bool kill) {
  struct static_state *s = r->state;
  loop_post(r->loop, &s->gone_post);
}

static void static_release(struct driver_replica *r) {
  struct static_state *s = r->state;
  if (s)
    post_cancel(&s->gone_post);
  free(s);
  r->state = NULL;
}

const struct driver_ops driver_static = {
    .name = "static",
    .start = static_start,
    .recover = static_recover,
    .proven = static_proven,
    .stop = static_stop,
    .release = static_release,
};

/* A connection to a replica, of whatever protocol: how it comes about, rests
 * between requests and goes. Embedded in the protocol's own struct.
 *
 * It holds a reference of its replica. Owner: itself; after link_close the memory
 * is given back by a post. One thread. */
#pragma once

#include <stdbool.h>

#include "lib/base/list.h"
#include "lib/net/deadline.h"
#include "lib/net/transport.h"

struct replica;
struct replica_link;
struct worker;

struct link_ops {
  const struct transport_events *events;
  /* Its deadline is over. */
  void (*expired)(struct replica_link *l);
  /* It is closed: lets go of what refers to it. */
  void (*closed)(struct replica_link *l);
  /* Gives the memory back. */
  void (*release)(struct replica_link *l);
};

struct replica_link {
  struct transport transport;
  const struct link_ops *ops;
  struct worker *worker;
  struct replica *replica;
  struct list node;         /* in a list of its replica, as its protocol wants it */
  struct list worker_node;  /* in worker->replica_links, while open */
  struct deadline deadline; /* connecting, waiting or resting */
  struct post free_post;
  bool connected, resting, closed;
  bool cut; /* closing it is an end before the end: with RST */
};

/* Begins to connect, within connect_timeout_s, a link whose memory is zeroed. On
 * ERR_IO nothing refers to it; the memory is the caller's. */
enum err link_open(struct replica_link *l, struct worker *w, struct replica *replica,
                   const struct link_ops *ops) MUST_CHECK;
/* Whether another request may want it: its replica is there to stay, and not too
 * many rest already. */
bool link_worth_keeping(const struct replica_link *l);
/* Without work, until link_work or, after replica_idle_s, its deadline. */
void link_rest(struct replica_link *l);
/* Harmless when it does not rest. */
void link_work(struct replica_link *l);
/* Closes it now. Idempotent. */
void link_close(struct replica_link *l);

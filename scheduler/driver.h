/* How replicas come to be: the seam between reconciling and the world. A driver
 * keeps its private states to itself. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"

struct buf;
struct endpoint_def;
struct loop;
struct scheduler_config;

/* One replica as a driver sees it; embedded in the scheduler's own. */
struct driver_replica {
  const struct driver_ops *ops;
  struct loop *loop;
  const struct scheduler_config *config;
  const struct endpoint_def *def;
  int index; /* from 0; a static one's address is addresses[index] */
  const char *id;
  char address[128];  /* filled by start */
  char handle[128];   /* filled by start: by which recover finds it again */
  char log_path[512]; /* where it writes what it has to say; "" when unknown */
  void (*exited)(struct driver_replica *r); /* it is gone; from the loop */
  void *state;                              /* the driver's */
};

struct driver_ops {
  const char *name;
  /* Begins; *why says why it could not. */
  enum err (*start)(struct driver_replica *r, struct buf *why);
  /* Goes on with what another scheduler has started: r->address and r->handle say what.
   * False: it is not there, or not here. */
  bool (*recover)(struct driver_replica *r);
  /* Whether who answers at the address is really this replica. */
  bool (*proven)(const struct driver_replica *r);
  /* Asks it to end, or ends it; `exited` follows. */
  void (*stop)(struct driver_replica *r, bool kill);
  /* It is gone, or never was: frees the driver's state. */
  void (*release)(struct driver_replica *r);
};

extern const struct driver_ops driver_static, driver_process;

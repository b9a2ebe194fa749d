/* The configuration file as a whole: the proxy's options, the scheduler's, and the
 * endpoints. */
#pragma once

#include "lib/base/err.h"
#include "proxy/config/config.h"
#include "scheduler/config.h"

struct buf;
struct endpoint_def;
struct option_table;

struct file {
  struct config config; /* first: its rows' offsets are from here */
  struct scheduler_config scheduler;
  struct endpoint_def **endpoints;
  int endpoint_count;
};

extern const struct option_table file_table;

/* All faults go to *errors, one a line with its place. */
enum err file_load(const char *path, struct file **out, struct buf *errors) MUST_CHECK;
/* Lets go of its references of the definitions. Accepts NULL; returns NULL. */
struct file *file_free(struct file *f);

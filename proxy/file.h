/* The configuration file as a whole: the proxy's options, the scheduler's, and the
 * endpoints. */
#pragma once

#include <stdatomic.h>

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
  _Atomic int refs; /* the main thread's, and one of each worker */
};

extern const struct option_table file_table;

/* All faults go to *errors, one a line with its place. */
enum err file_load(const char *path, struct file **out, struct buf *errors) MUST_CHECK;
/* The same while `running` is in force: what can change at the next start only must be the same. */
enum err file_reload(const char *path, const struct file *running, struct file **out,
                     struct buf *errors) MUST_CHECK;
struct file *file_ref(struct file *f);
/* Lets go of a reference; the last one lets go of the definitions. Any thread. Accepts NULL;
 * returns NULL. */
struct file *file_free(struct file *f);

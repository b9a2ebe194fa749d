#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

/* What the whole process shares: the command line, where the loop stands, and the counts that
 * /metrics shows. One thread, so nothing here needs a lock. */

struct engine_options {
  long port; /* -1: no TCP listener */
  const char *host, *unix_path;
  long load_ms, tokens, max_concurrency, keepalive_ms, exit_after_ms, unsent;
  double rate_per_s; /* 0: at once */
  bool burst, fail_start, stamp;
  const char *log_path, *model;
};

struct engine {
  struct engine_options options;
  int epoll;
  uint64_t now_us;    /* read once per turn of the loop */
  uint64_t period_us; /* between two tokens; 0: at once */
  bool loaded, draining;

  uint64_t active, peak, waiting, slots_taken; /* requests now; those with a slot */
  uint64_t requests_total, aborts_total, tokens_total, events_total;
};

extern struct engine engine;

/* What epoll's data points at; embedded first in listeners, connections and the signal source. */
struct source {
  void (*event)(struct source *s, uint32_t events);
};

#endif

/* The scheduler's options. */
#pragma once

#include <stdint.h>

struct option_table;

struct scheduler_config {
  int64_t port_min, port_max; /* ports for children; outside the ephemeral range */
  char *host;                 /* where children listen, and where proxies reach them */
  char *state_directory;
  int64_t tick_ms; /* how often the policy looks */
};

extern const struct option_table scheduler_table;

#include "proxy/request/cells.h"

const int64_t latency_bounds_ms[LATENCY_BUCKETS - 1] = {
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 60000, 300000};

const char *ending_word(enum ending e) {
  static const char *const words[ENDINGS] = {
      [END_COMPLETE] = "complete",       [END_OWN_ANSWER] = "own_answer",
      [END_CLIENT_GONE] = "client_gone", [END_REPLICA_FAILED] = "replica_failed",
      [END_TIMEOUT] = "timeout",         [END_SHUTDOWN] = "shutdown"};
  return words[e];
}

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

const char *client_limit_word(enum client_limit l) {
  static const char *const words[CLIENT_LIMITS] = {[LIMIT_HEAD_SIZE] = "head_size",
                                                   [LIMIT_HEAD_TIMEOUT] = "head_timeout",
                                                   [LIMIT_BODY_IDLE] = "body_idle",
                                                   [LIMIT_WRITE_STALL] = "write_stall",
                                                   [LIMIT_IDLE] = "idle",
                                                   [LIMIT_HTTP2_FRAMES] = "http2_frames",
                                                   [LIMIT_HTTP2_RESETS] = "http2_resets",
                                                   [LIMIT_HTTP2_CONTROL] = "http2_control",
                                                   [LIMIT_HTTP2_CONTINUATIONS] =
                                                       "http2_continuations",
                                                   [LIMIT_HTTP2_SETTINGS] = "http2_settings",
                                                   [LIMIT_HTTP2_BUFFER] = "http2_buffer",
                                                   [LIMIT_CONNECTIONS] = "connections",
                                                   [LIMIT_ADDRESS] = "address",
                                                   [LIMIT_PROXY_PEER] = "proxy_peer",
                                                   [LIMIT_PROXY_HEADER] = "proxy_header",
                                                   [LIMIT_AUTH_FAILURES] = "auth_failures"};
  return words[l];
}

const char *access_rule_word(enum access_rule r) {
  static const char *const words[ACCESS_RULES] = {[RULE_ADDRESSES] = "allow_addresses",
                                                  [RULE_VPC_ENDPOINTS] = "vpc_endpoints",
                                                  [RULE_CLIENT_CERTIFICATES] =
                                                      "client_certificates"};
  return words[r];
}

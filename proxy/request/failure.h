/* What clients are told by ourselves, as rows: each says what stands in the answer, which count it
 * moves, and what can be done about it. The table in docs/operating.md follows from them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum failure_kind {
  FAIL_NONE,
  FAIL_NOT_HTTP1,
  FAIL_NOT_HTTP2,
  FAIL_WAIT_HEADER, /* X-Scale-Up-Timeout */
  FAIL_PAUSED,
  FAIL_MODEL_NO_BODY,
  FAIL_MODEL_ABSENT,
  FAIL_MODEL_BAD,
  FAIL_MODEL_CUT,
  FAIL_NO_TOKEN,
  FAIL_UNKNOWN_TOKEN,
  FAIL_TOKEN_DENIED,
  FAIL_RULE_DENIED,
  FAIL_NO_ENDPOINT,
  FAIL_ENDPOINT_GONE,
  FAIL_NO_MODEL, /* names the model */
  FAIL_HEAD_LATE,
  FAIL_BODY_LATE,
  FAIL_BODY_SIZE, /* names the limit */
  FAIL_MODEL_FAR, /* names the limit */
  FAIL_LINE_SIZE,
  FAIL_TOKEN_LIMIT,       /* says when */
  FAIL_TOO_MANY_FAILURES, /* to authenticate; says when */
  FAIL_BUSY,
  FAIL_QUEUE_FULL,
  FAIL_HEAD_SIZE,
  FAIL_WEBSOCKET,
  FAIL_REPLICA_UNREACHED,
  FAIL_REPLICA_REFUSED,
  FAIL_REPLICA_CONNECT_TIMEOUT,
  FAIL_REPLICA_UNSENT,
  FAIL_REPLICA_CLOSED,
  FAIL_REPLICA_GAVE_UP,
  FAIL_REPLICA_NOT_HTTP1,
  FAIL_REPLICA_NOT_HTTP2,
  FAIL_REPLICA_NO_HTTP2,
  FAIL_REPLICA_CLOSED_BEFORE_HTTP2,
  FAIL_REPLICA_HEAD_SIZE,
  FAIL_REPLICA_FIELDS,
  FAIL_REPLICA_SAID_502,
  FAIL_REPLICA_SAID_503,
  FAIL_STARTING_ENDPOINTS,
  FAIL_STARTING_TOKENS,
  FAIL_SCALING_UP, /* says when */
  FAIL_SCALE_UP_TIMEOUT,
  FAIL_ENDPOINT_FAILED,
  FAIL_HOLD_FULL, /* says when */
  FAIL_SHUTDOWN,
  FAIL_NO_MEMORY,
  FAIL_NO_BODY_MEMORY,
  FAIL_NO_CONNECTION,
  FAIL_UPLOADS_WAIT,
  FAIL_REPLICA_LATE,
  FAIL_HTTP_VERSION,
  FAILURES
};

struct failure {
  int status;
  const char *type, *code;
  const char *message; /* request_fail_naming says what stands for "{}" */
  const char *remedy;  /* for docs/operating.md; NULL: that of the row before */
  const char *param;
  int64_t retry_after_s; /* unless request_fail_later says so; 0: no Retry-After */
  size_t counted;        /* offset of a cell in struct worker_cell; 0: none */
  bool authenticate;     /* WWW-Authenticate: Bearer */
};

const struct failure *failure_of(enum failure_kind kind);
/* All of them as a table in Markdown. */
void failure_table(struct buf *out);

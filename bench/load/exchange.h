/* One place in which requests are made, one after the other: what is asked, what has come, and
 * what it counts for. Its memory lives as long as the run.
 *
 * idle -> exchange_begin -> waiting (in its connection) -> exchange_begun -> active -> over, which
 * happens in one function, and tells slots_ended. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/sse.h"
#include "bench/load/tally.h"
#include "bench/load/workload.h"
#include "lib/base/heap.h"
#include "lib/base/list.h"

struct conn;
struct load;

enum exchange_state { EXCHANGE_IDLE, EXCHANGE_WAITING, EXCHANGE_ACTIVE };
enum exchange_timer { TIMER_BEGIN, TIMER_GIVE_UP };
enum exchange_giving_up { GIVE_UP_NEVER, GIVE_UP_BEFORE_HEAD, GIVE_UP_IN_STREAM };

struct exchange {
  struct load *load;
  struct conn *conn; /* always the same */
  struct list node;  /* in the connection's waiting or active, or in the load's free slots */
  struct list timeout_node;
  struct heap_node timer;
  enum exchange_state state;
  enum exchange_timer timer_for;
  enum exchange_giving_up giving_up;
  const struct workload_row *row;
  struct slice authorization;
  struct workload_body body;
  usec_t start, last_token; /* start: when it should have begun */
  usec_t begun;             /* when it had a connection */
  int status;               /* 0: no head yet */
  int32_t stream;           /* HTTP/2 */
  uint64_t tokens_asked, tokens, index_next, give_up_after;
  struct sse sse;
  bool head_put, sent, heard, done, finish;
};

void exchange_init(struct exchange *x, struct load *l, struct conn *c);
/* Begins a request that should have begun at `start`. */
void exchange_begin(struct exchange *x, const struct workload_row *row, usec_t start);
/* When the timer fires. */
void exchange_due(struct exchange *x);
/* Begins a request at a later time, by slots_next. */
void exchange_begin_later(struct exchange *x, usec_t at);

/* From its connection: */
void exchange_begun(struct exchange *x);
void exchange_sent(struct exchange *x);
void exchange_head(struct exchange *x, int status);
void exchange_take(struct exchange *x, struct slice bytes);
/* The answer has ended as HTTP says. */
void exchange_complete(struct exchange *x);
void exchange_fail(struct exchange *x, enum tally_error error);
/* The same when the answer was cut off: truncated once it had begun, else `error`. */
void exchange_cut(struct exchange *x, enum tally_error error);
/* Its time is over. */
void exchange_time_out(struct exchange *x);

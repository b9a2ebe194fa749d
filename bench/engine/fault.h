#ifndef ENGINE_FAULT_H
#define ENGINE_FAULT_H

#include "http.h"

#include <stdbool.h>

/* What a request asks to go wrong, by its x-engine-fault header. */

enum fault {
  FAULT_DIE_MID_STREAM,
  FAULT_RESET_MID_STREAM,
  FAULT_DIE_PROCESS,
  FAULT_NEVER,
  FAULT_EARLY_CLOSE,
  FAULT_SLOW_HEAD,
  FAULT_SLOW_BODY,
  FAULT_STATUS,
  FAULT_BAD_HEAD,
  FAULT_REFUSE,
  FAULT_CLOSE_IDLE,
  FAULT_COUNT,
};

struct faults {
  unsigned asked; /* a bit for each enum fault */
  long value[FAULT_COUNT];
};

struct conn;

static inline bool fault_has(const struct faults *f, enum fault which) {
  return f->asked >> which & 1;
}

/* False when the list names a fault that does not exist: a test with a typo must not pass. */
bool fault_parse(struct faults *f, struct http_text list);
/* Plays the faults that come before any answer; true when the answer is theirs. */
bool fault_before(struct conn *c);
/* Is a fault due that cuts an answer off, after this many tokens? */
bool fault_cuts(const struct faults *f, long tokens);
/* Will the answer be cut off at all? */
bool fault_will_cut(const struct faults *f);
/* Cuts it off: the connection is closed, or the process is gone. */
void fault_cut(struct conn *c);

#endif

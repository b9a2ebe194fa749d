/* What a run counts, for one kind of requests or for all. */
#pragma once

#include <stdint.h>

#include "bench/load/histogram.h"

enum tally_error {
  ERROR_CONNECT,   /* no connection */
  ERROR_TLS,       /* no handshake, or a certificate that is not trusted */
  ERROR_TIMEOUT,   /* not answered in --timeout */
  ERROR_RESET,     /* closed or reset before the answer's head was there */
  ERROR_GOAWAY,    /* refused by a connection that is going */
  ERROR_PROTOCOL,  /* the answer breaks the rules of HTTP */
  ERROR_TRUNCATED, /* the answer began and did not end: cut off, or a stream without its last words
                    */
  TALLY_ERRORS
};

enum { TALLY_STATUSES = 600 };

/* started = done + aborted + all errors + those that are still open. */
struct tally {
  uint64_t started, done, ok, aborted;
  uint64_t errors[TALLY_ERRORS];
  uint64_t statuses[TALLY_STATUSES]; /* of what is done */
  uint64_t events, tokens, events_lost, events_doubled;
  /* microseconds */
  struct histogram latency, first_token, between_tokens, event_age;
};

extern const char *const tally_error_names[TALLY_ERRORS];

uint64_t tally_errors(const struct tally *t);
/* What is over, one way or another. */
uint64_t tally_ended(const struct tally *t);
void tally_merge(struct tally *to, const struct tally *from);
/* Forgets everything but those that are still open, which count as just started. */
void tally_restart(struct tally *t);

#include "bench/load/tally.h"

#include <string.h>

const char *const tally_error_names[TALLY_ERRORS] = {
    [ERROR_CONNECT] = "connect",     [ERROR_TLS] = "tls",       [ERROR_TIMEOUT] = "timeout",
    [ERROR_RESET] = "reset",         [ERROR_GOAWAY] = "goaway", [ERROR_PROTOCOL] = "protocol",
    [ERROR_TRUNCATED] = "truncated",
};

uint64_t tally_errors(const struct tally *t) {
  uint64_t sum = 0;
  for (int i = 0; i < TALLY_ERRORS; i++)
    sum += t->errors[i];
  return sum;
}

uint64_t tally_ended(const struct tally *t) {
  return t->done + t->aborted + tally_errors(t);
}

static void numbers_merge(struct tally *to, const struct tally *from) {
  to->started += from->started;
  to->done += from->done;
  to->ok += from->ok;
  to->aborted += from->aborted;
  to->events += from->events;
  to->tokens += from->tokens;
  to->events_lost += from->events_lost;
  to->events_doubled += from->events_doubled;
  for (int i = 0; i < TALLY_ERRORS; i++)
    to->errors[i] += from->errors[i];
  for (int i = 0; i < TALLY_STATUSES; i++)
    to->statuses[i] += from->statuses[i];
}

void tally_merge(struct tally *to, const struct tally *from) {
  numbers_merge(to, from);
  histogram_merge(&to->latency, &from->latency);
  histogram_merge(&to->first_token, &from->first_token);
  histogram_merge(&to->between_tokens, &from->between_tokens);
  histogram_merge(&to->event_age, &from->event_age);
}

void tally_restart(struct tally *t) {
  uint64_t open = t->started - tally_ended(t);
  memset(t, 0, sizeof *t);
  t->started = open;
}

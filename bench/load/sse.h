/* What a load client wants to know of an OpenAI-style answer, found while its bytes pass: a pure
 * scanner, split anywhere, that keeps no bytes. It is an automaton over the few names that matter,
 * so that an event costs about a nanosecond a byte and no JSON is parsed.
 *
 * It finds the events of a stream (WHATWG HTML, 9.2) with what they mean: a token (a non-empty
 * content, text or arguments), the finish_reason, [DONE], the engine's stamp
 * ("index":I,"sent_us":T); and in any JSON the number of completion_tokens. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"

struct sse_event {
  bool token, finish, done, stamped;
  uint64_t index;  /* stamped only */
  int64_t sent_us; /* stamped only: CLOCK_MONOTONIC of the engine's machine */
};

struct sse {
  uint8_t state, value, stage;
  bool data; /* the event has some */
  uint64_t number, index, completion_tokens;
  struct sse_event event;
};

/* Once in a process, before anything else. */
void sse_prepare(void);
void sse_begin(struct sse *s);
/* Takes bytes off *in up to the end of the next event, whose meaning goes to *event. False when
 * the bytes are used up before. */
bool sse_next(struct sse *s, struct slice *in, struct sse_event *event);

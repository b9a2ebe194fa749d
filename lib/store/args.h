/* The words of a command, put together one after the other. Once something did not
 * fit or memory ran out it is `failed`, so that callers check once. */
#pragma once

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

enum { ARGS_MAX = 1 << 20, ARGS_BYTES_MAX = 256 << 20 };

struct args {
  struct buf text; /* all words in a row */
  size_t *ends;    /* where each ends */
  int count, room;
  bool failed;
};

#define ARGS_INIT                                                                                  \
  { .text = BUF_INIT(ARGS_BYTES_MAX) }

/* Empties, keeps the memory. */
void args_clear(struct args *a);
void args_free(struct args *a);
void args_add(struct args *a, struct slice word);
void args_str(struct args *a, const char *word);
void args_number(struct args *a, int64_t n);
void args_real(struct args *a, double n);
void args_all(struct args *a, const struct args *more);
/* Ends a word that was written to a->text directly. */
void args_end(struct args *a);
struct slice args_at(const struct args *a, int i);
/* EVAL script: `keys` of the words that follow are keys. */
void args_eval(struct args *a, const char *script, int keys);

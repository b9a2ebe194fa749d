/* What is said of a run: a line while it goes on, a report in words, the same as JSON. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"

struct buf;
struct load;

enum { SUMMARY_BYTES_MAX = 1 << 20 };

/* To standard error. */
void summary_progress(const struct load *l);
void summary_text(const struct load *l, struct buf *out);
void summary_json(const struct load *l, struct buf *out);

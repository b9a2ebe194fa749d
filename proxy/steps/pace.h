/* Slows down who repeats a 503 at once: one widely used client does so for ever,
 * hundreds of times a second. Shared by all workers, behind a mutex: the way to a
 * 503 is the slow path. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

struct pace;

/* window_us: how long a 503 is remembered. waiting_max: requests kept waiting at once. */
struct pace *pace_new(usec_t window_us, int64_t waiting_max) MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct pace *pace_free(struct pace *p);
/* Notes that this key is given a 503 now; true when it was given one within the
 * window. Keys share places in a table of fixed size, so that the answer may be wrong for
 * one key in very many; it costs that one a second. */
bool pace_repeats(struct pace *p, const unsigned char *key, size_t key_bytes, usec_t now);
/* Takes one of waiting_max places; false when there is none. */
bool pace_wait_begin(struct pace *p);
void pace_wait_end(struct pace *p);

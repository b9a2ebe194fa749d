/* How often somebody may fail to show a good token: each client network, and each bad token. Shared
 * by all workers, behind a mutex: only who has failed comes here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

struct failures;

enum { FAILURES_SETS = 1 << 12, FAILURES_WAYS = 4 };

/* NULL when memory ran out. */
struct failures *failures_new(void) MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct failures *failures_free(struct failures *f);
/* This key has failed once more. 0: it may, of the `burst` that it may at once and `per_s` that
 * come back a second; else how long it must wait for the next. Keys share FAILURES_SETS times
 * FAILURES_WAYS places, where those that failed least go first: then they begin anew. */
usec_t failures_note(struct failures *f, const unsigned char *key, size_t key_bytes, usec_t now,
                     int64_t burst, int64_t per_s);

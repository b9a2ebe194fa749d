/* What was lately with a key, as one number: a table of fixed size that nobody can make grow.
 * RECENT_WAYS keys share a set; the least number goes first, and its key begins anew at 0. Of
 * 64 bits of hash, so that one key in very many may be taken for another. Any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct recent;

enum { RECENT_WAYS = 4 };

/* NULL when memory ran out. */
struct recent *recent_new(size_t sets) MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct recent *recent_free(struct recent *t);
/* The key's number, to be read and written until recent_unlock; 0: the key is new. Others wait
 * meanwhile. */
int64_t *recent_lock(struct recent *t, struct slice key) MUST_CHECK;
void recent_unlock(struct recent *t);

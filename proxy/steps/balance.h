/* Which replica gets the next request. */
#pragma once

struct endpoint;
struct replica;
struct replica_shared;
struct worker;

/* The ready replica with the fewest requests, counting those of other workers as of at most
 * a millisecond ago; ties are broken in turn. `avoid` (or NULL) and those that are ejected come
 * last. NULL when none is ready. */
struct replica *balance_pick(struct worker *w, struct endpoint *e,
                             const struct replica_shared *avoid);

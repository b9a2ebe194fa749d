/* Which replica gets the next request. */
#pragma once

struct endpoint;
struct worker;

struct replica;

/* The ready replica with the fewest requests, counting those of other workers as of at most
 * a millisecond ago; ties are broken in turn. NULL when none is ready. */
struct replica *balance_pick(struct worker *w, struct endpoint *e);

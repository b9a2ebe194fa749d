/* Descriptors: how many this process may have, and for whom they are.
 *
 * Clients may have three quarters of them (see listen.h); the rest is left for connections to
 * replicas and to the store, logs, the operator's door and children, so that who is there already
 * can still be served when no more can be let in. */
#pragma once

#include <stdint.h>

/* Raises the soft limit (RLIMIT_NOFILE) to the hard one; returns what holds then. */
int64_t descriptors_raise(void);
/* The soft limit. */
int64_t descriptors_limit(void);
/* How many of so many may be clients', and how many are needed for so many clients. */
int64_t descriptors_for_clients(int64_t limit);
int64_t descriptors_needed(int64_t clients);
/* Those that are open now. -1: it cannot be seen. */
int64_t descriptors_open(void);

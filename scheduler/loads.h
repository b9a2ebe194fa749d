/* What all proxies together say of one endpoint.
 *
 * Integrals and totals are taken over by what they have grown, so that a proxy that comes,
 * goes or falls silent changes no sum but by what it has done. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct load_record;
struct load_seen;
struct policy_sample;

enum { LOAD_PROXIES_MAX = 1024 };

struct loads {
  struct load_seen *seen; /* of each proxy, also of those that are silent now */
  int count, room;
  int64_t pending_us, requests_total;
  int64_t since_ms; /* wall clock: what proxies older than this have done before is not ours to
                       count */
};

void loads_init(struct loads *l, int64_t since_ms);
void loads_free(struct loads *l);
enum err loads_put(struct loads *l, const struct load_record *r) MUST_CHECK;
void loads_gone(struct loads *l, const char *proxy);
/* Adds up into s: pending, open, wanted, and the sums. */
void loads_sum(const struct loads *l, struct policy_sample *s);
/* Requests at a replica. */
int64_t loads_active(const struct loads *l, const char *replica);
/* Whether each of these proxies knows this version of the endpoint and has no request at
 * the replica. */
bool loads_left(const struct loads *l, const char *replica, int64_t version,
                const char *const *proxies, int count);

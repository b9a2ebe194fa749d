/* How endpoints and replicas are written down where two processes meet: JSON, an
 * object each, with the keys of the configuration. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct buf;
struct endpoint_def;
struct replica_record;

/* Secrets (the environment of processes) stay out of it. */
void endpoint_def_write(const struct endpoint_def *d, struct buf *out);
/* A new definition with one reference. On error *why says what is wrong. */
enum err endpoint_def_read(const char *name, struct slice text, struct endpoint_def **out,
                           struct buf *why) MUST_CHECK;

/* {"address", "state", "since_ms", "handle", "made"}; the id stands beside it. */
void replica_record_write(const struct replica_record *r, struct buf *out);
enum err replica_record_read(struct slice id, struct slice text,
                             struct replica_record *r) MUST_CHECK;

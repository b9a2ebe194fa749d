/* Replicas that fail while they say they are ready: passed over for a while.
 *
 * Failures in a row (no connection, no answer, 5xx) eject a replica, unless it is the
 * last one that is not. After eject_s it is on trial: one request goes there, and another
 * one each eject_s, until an answer below 500 lets it back. The state is the process's,
 * since all workers see the same replica; as long as nothing fails it is only read. */
#pragma once

#include <stdbool.h>

#include "lib/base/clock.h"

struct replica_shared;
struct request;

bool outlier_ejected(const struct replica_shared *s);
/* Whether a request may go there now: not ejected, or its trial is due and there is room for one,
 * which is then taken. */
bool outlier_admits(struct replica_shared *s, usec_t now);
/* Of the request's replica: it has failed the request, or has answered it. */
void outlier_failed(struct request *r);
void outlier_answered(struct request *r, int status);

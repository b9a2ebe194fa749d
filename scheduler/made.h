/* What a replica was started from, told from anything else it might have been started from: by this
 * a scheduler that takes over sees whether its own configuration would have made the same one,
 * though the store has no environments of processes (lib/fleet/wire.h). */
#pragma once

#include "lib/fleet/endpoint.h"

struct scheduler_config;

/* In hexadecimal: the first half of a SHA-256 of `process` with its environment, and of the host.
 * "" for the static driver, or when memory ran out. */
void made_of(const struct endpoint_def *def, const struct scheduler_config *config,
             char to[REPLICA_MADE_BYTES]);

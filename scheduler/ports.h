/* Ports for children: from a range, each behind a lock file, so that two schedulers
 * on a machine never give out the same one; and whose a listening port is. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct scheduler_config;

/* A free port; *lock_fd keeps it until it is closed. 0 when there is none. */
int ports_take(const struct scheduler_config *c, int *lock_fd);
/* The lock of a port that was given out before; -1 when somebody else has it. */
int ports_take_again(const struct scheduler_config *c, int port);
/* Whether a process of this group listens on the port: some servers bind with
 * SO_REUSEPORT and would silently share one. */
bool ports_listener_is(int port, pid_t group);

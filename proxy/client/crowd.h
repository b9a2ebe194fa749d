/* How many connections each client network has, over all workers. Behind a mutex: it is asked once
 * a connection. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct crowd;

/* NULL when memory ran out. */
struct crowd *crowd_new(void);
/* Accepts NULL; returns NULL. */
struct crowd *crowd_free(struct crowd *c);
/* One more of that peer's network; false, and not counted, when it has `most` already, or memory
 * ran out. */
bool crowd_enter(struct crowd *c, const struct sockaddr *peer, int64_t most);
/* After crowd_enter said true. */
void crowd_leave(struct crowd *c, const struct sockaddr *peer);

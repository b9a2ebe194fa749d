/* Who asks next: the closed loop, the open loop, and the holding open of what was asked. */
#pragma once

#include <stdbool.h>

#include "lib/base/clock.h"

struct exchange;
struct load;

/* At the start of a run. */
void slots_open(struct load *l);
/* Requests of the open loop that have become due. */
void slots_arrive(struct load *l);
/* The slot's turn has come: it begins a request if there are any left. */
void slots_next(struct exchange *x);
/* Its request is over; what comes next comes after the pause. */
void slots_ended(struct exchange *x, usec_t pause_us);
/* --hold: the slot's request is open, or (good: false) will never be. The first word counts. */
void slots_heard(struct exchange *x, bool good);
/* Requests whose time is over, waiting for a connection or not. */
void slots_time_out(struct load *l);
/* When slots_arrive or slots_time_out have something to do; USEC_NEVER: no time. */
usec_t slots_due(const struct load *l);
/* Whether all that was asked for has been done. */
bool slots_finished(const struct load *l);

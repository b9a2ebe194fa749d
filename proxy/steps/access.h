/* Whether a request may reach its endpoint, from where it comes and with its token; asked on
 * arrival, and again of a held request whenever endpoint or tokens may have changed. */
#pragma once

#include "proxy/request/request.h"

/* process.auth_failures has place for four times as many addresses and bad tokens; those that
 * failed least go first. */
enum { ACCESS_FAILURES_SETS = 1 << 12 };

/* STEP_NEXT, or STEP_FAIL with 401, 403 or (too many failures) 429. */
enum step_result access_check(struct request *r);

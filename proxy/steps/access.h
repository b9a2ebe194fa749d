/* Whether a request may reach its endpoint, from where it comes and with its token; asked on
 * arrival, and again of a held request whenever endpoint or tokens may have changed. */
#pragma once

#include "proxy/request/request.h"

/* STEP_NEXT, or STEP_FAIL with 401 or 403. */
enum step_result access_check(struct request *r);

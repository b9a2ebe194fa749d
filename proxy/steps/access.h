/* Whether a request may reach its endpoint; asked on arrival and again when a held
 * request is let go. */
#pragma once

#include "proxy/request/request.h"

/* STEP_NEXT, or STEP_FAIL with 401 or 403. */
enum step_result access_check(struct request *r);

/* What the steps that look for the endpoint have in common. */
#pragma once

#include "proxy/request/request.h"

/* 503, STEP_FAIL: until the fleet is known nobody can say that an endpoint does not exist. */
enum step_result route_starting(struct request *r);

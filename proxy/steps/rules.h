/* From where an endpoint may be reached at all, whoever asks: its allow_addresses, vpc_endpoints
 * and client_certificates. */
#pragma once

#include "proxy/request/request.h"

/* STEP_NEXT, or STEP_FAIL with 403: one of the kinds that the endpoint has does not hold. Asked
 * only where the endpoint is ruled. */
enum step_result rules_check(struct request *r);

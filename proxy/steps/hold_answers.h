/* What a request is told that the hold does not let through. All return STEP_FAIL. */
#pragma once

#include "proxy/request/request.h"

enum step_result hold_bad_timeout(struct request *r); /* 400: the header's value */
enum step_result hold_gone(struct request *r);        /* 404: deleted meanwhile */
enum step_result hold_paused(struct request *r);      /* 400: SDKs do not repeat it */
enum step_result hold_failed(struct request *r);      /* 503: it cannot be started */
enum step_result hold_scaling_up(struct request *r);  /* 503: come back, or wait with the header */
enum step_result hold_timeout(struct request *r);     /* 503: waited in vain */
enum step_result hold_queue_timeout(struct request *r); /* 429: every replica stayed full */
enum step_result hold_too_many(struct request *r);      /* 429: the queue is full, replicas exist */
enum step_result hold_full(struct request *r);          /* 503: the queue is full, none exists */

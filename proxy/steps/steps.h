/* The path of a request and the way back, as two tables. */
#pragma once

#include "proxy/request/request.h"

extern const struct request_step request_path[];
extern const struct response_step response_path[];

/* One file each, in path order. */
enum step_result step_route(struct request *r);
enum step_result step_model(struct request *r);
enum step_result step_authenticate(struct request *r);
enum step_result step_limit(struct request *r);
enum step_result step_hold(struct request *r);
enum step_result step_balance(struct request *r);
enum step_result step_connect(struct request *r);
enum step_result step_relay(struct request *r);
enum step_result step_finish(struct request *r);

bool step_head(struct request *r);
bool step_rewrite(struct request *r);
bool step_end(struct request *r);

/* How an exchange with a replica ends badly, whatever the protocol. The request
 * has let go of its connection or stream already; it may be finished when one of
 * these returns. */
#pragma once

#include <stdbool.h>

#include "proxy/request/failure.h"

struct request;

/* Before the head. `refused`: nothing of the request can have been acted upon. */
void loss_before_head(struct request *r, enum failure_kind why, bool refused);
/* With the head passed on, before the body's end: made visible. */
void loss_in_body(struct request *r);
/* No head came in time. */
void loss_of_patience(struct request *r);

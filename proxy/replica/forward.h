/* What of a request goes on to its replica, whatever the protocol there: its
 * target, and its fields with what the proxy adds. How the body is framed is the
 * protocol's to say. */
#pragma once

#include <stdbool.h>

#include "lib/base/clock.h"
#include "lib/base/slice.h"

struct http_field;
struct request;

/* Takes the fields, one call each. What is put lasts as long as this struct and
 * the request do. */
struct forward {
  void (*put)(struct forward *f, struct slice name, struct slice value);
};

/* False when memory ran out: the request must not go on without what is missing. */
bool forward_fields(struct forward *f, struct request *r);
/* Whether a field, or trailer field, goes on as it is. */
bool forward_goes_on(const struct request *r, const struct http_field *f);
/* Without the route's prefix; .data is NULL when memory ran out. */
struct slice forward_target(struct request *r);
struct slice forward_authority(const struct request *r);
/* When the answer's head is due, from now on; of loop_now's clock. */
usec_t forward_head_due(const struct request *r);

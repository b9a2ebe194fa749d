#ifndef ENGINE_HEADERS_H
#define ENGINE_HEADERS_H

#include "buf.h"
#include "http.h"

/* Describes a head as JSON, for tests of what a proxy forwards: method, target, version, the
 * headers by name in lower case (a list where a name occurs again), and all of them as they came.
 * The object is left open, for what is only known once the body has been read. */
void headers_describe(struct buf *b, const struct http_head *h);

#endif

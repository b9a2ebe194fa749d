/* The access log: one JSON line per request that is over. Never bodies, tokens or
 * query strings.
 *
 * Each worker has its own buffer and writes whole lines to a descriptor opened with
 * O_APPEND, when the buffer is full and a moment after the first line in it. */
#pragma once

#include "lib/base/err.h"
#include "proxy/request/cells.h"

struct access_log;
struct loop;
struct request;

enum { ACCESS_LOG_BUFFER_BYTES = 64 * 1024, ACCESS_LOG_LINE_BYTES = 8 * 1024 };

/* `fd` is shared by all workers and stays the caller's. While log.access is empty nothing is
 * logged. `dropped` counts the lines that were too long, or could not be written: a full disk stops
 * nobody. */
struct access_log *access_log_new(struct loop *loop, int fd, cell_t *dropped) MUST_CHECK;
/* Writes what waits. Accepts NULL; returns NULL. */
struct access_log *access_log_free(struct access_log *l);
void access_log_flush(struct access_log *l);
void access_log_request(struct access_log *l, const struct request *r);

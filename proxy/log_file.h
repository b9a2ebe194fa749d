/* The access log's descriptor. All workers write to it, and none needs to know when another file
 * is put in its place. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"

struct buf;

/* A path, "-" (standard output) or "" (nothing is kept). On error *why says why. */
enum err log_file_open(const char *path, int *fd, struct buf *why) MUST_CHECK;
/* Whether another file than that of `fd` stands at the path by now. */
bool log_file_moved(const char *path, int fd);
/* What is written to `fd` goes where `other` goes from now on; `other` is closed. */
void log_file_replace(int fd, int other);

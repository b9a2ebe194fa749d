/* One health check: GET path is 200, or without a path the port accepts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct loop;
struct probe;

/* `done` is called once, from the loop, unless probe_free comes before. */
enum err probe_start(struct loop *l, const char *address, const char *path, int64_t timeout_ms,
                     void (*done)(void *user, bool healthy), void *user,
                     struct probe **out) MUST_CHECK;
/* Accepts NULL; returns NULL. May be called from `done`. */
struct probe *probe_free(struct probe *p);

/* The store of a fleet. docs/redis.md describes its keys. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/store/redis_link.h"

struct loop;
struct store;

struct redis_store_settings {
  struct redis_settings redis;
  const char *id; /* of this process, as it stands in the keys */
  bool proxy;     /* it is a proxy: the others are to count on it */
  int64_t lease_ms, refresh_ms;
};

/* Texts outlive the store. It is down at first; watch.link says when it is up. NULL when
 * memory ran out. */
struct store *redis_store_new(struct loop *loop, const struct redis_store_settings *settings);

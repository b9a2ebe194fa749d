/* One connection to Redis that is always being kept: found by its address or by
 * asking Sentinel, logged in, made again when it is lost.
 *
 * A command that is not answered within timeout_ms costs the connection, since Redis answers
 * in order; all that were sent on it are then answered with NULL. Loop's thread only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct loop;
struct redisReply;
struct redis_link;

/* Texts outlive the link. Those that are NULL or "" are not used. */
struct redis_settings {
  const char *address; /* "127.0.0.1:6379", "redis.internal:6379" or "unix:PATH" */
  const char *user, *password;
  int64_t database;
  const char *prefix;
  /* Sentinel: then the address is asked of them. */
  char *const *sentinels; /* "host:port", NULL-terminated */
  const char *master, *sentinel_user, *sentinel_password;
  int64_t timeout_ms; /* of each command, and of connecting */
};

struct redis_link_events {
  void (*up)(void *user);
  void (*down)(void *user, const char *why);
  void (*message)(void *user, struct slice text); /* from the channel */
};

enum {
  REDIS_WAITING_MAX = 65536, /* commands without an answer */
  REDIS_HOST_BYTES = 256,
};

/* `name` is what CLIENT LIST shows. With a channel the link is subscribed to it and takes no
 * commands. Connecting begins at once. */
struct redis_link *redis_link_new(struct loop *loop, const struct redis_settings *settings,
                                  const char *name, const char *channel,
                                  const struct redis_link_events *events, void *user) MUST_CHECK;
/* No callback comes after this. Accepts NULL; returns NULL. */
struct redis_link *redis_link_free(struct redis_link *l);

typedef void (*redis_reply_fn)(void *user, const struct redisReply *reply);

/* ERR_AGAIN: not connected. ERR_LIMIT: too many wait. Else `answered` (may be NULL) is called
 * once, with NULL when the connection was lost. */
enum err redis_link_send(struct redis_link *l, int argc, const struct slice *argv,
                         redis_reply_fn answered, void *user) MUST_CHECK;
/* The connection is of no use: it is closed and made again. */
void redis_link_fail(struct redis_link *l, const char *why);
/* Ever sent, and ever connected. */
int64_t redis_link_commands(const struct redis_link *l);
int64_t redis_link_connections(const struct redis_link *l);

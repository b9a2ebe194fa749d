/* Where a load goes: http://HOST[:PORT][/PATH] or https. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"

struct address;
struct buf;

enum { URL_HOST_BYTES = 256, URL_PATH_BYTES = 2048 };

struct url {
  bool tls;
  int port;
  char host[URL_HOST_BYTES];           /* without brackets */
  char authority[URL_HOST_BYTES + 16]; /* as Host says it */
  char path[URL_PATH_BYTES];           /* with the query; no slash at its end, but for "/" */
};

/* On error *why says what is wrong and what would be right. */
enum err url_parse(const char *text, struct url *u, struct buf *why) MUST_CHECK;
/* Looks names up, and waits for that. localhost and what ends so is 127.0.0.1 (RFC 6761, 6.3). */
enum err url_resolve(const char *host, int port, struct address *a, struct buf *why) MUST_CHECK;
/* "HOST:PORT" or "unix:PATH". */
enum err url_resolve_text(const char *text, struct address *a, struct buf *why) MUST_CHECK;

/* Server-side TLS contexts: certificates by SNI, ALPN, tickets. One context serves
 * all workers of a process. */
#pragma once

#include <stddef.h>

#include "lib/base/err.h"

struct buf;
struct ssl_st;
struct tls_context;

struct tls_pair {
  const char *certificate; /* PEM file: leaf first, then the chain */
  const char *key;         /* PEM file, or the PEM text itself ("-----BEGIN ...") */
};

struct tls_settings {
  const struct tls_pair *pairs; /* the first serves names that no other has */
  int pair_count;
  const char *min_version; /* "1.2" or "1.3" */
  char *const *alpn;       /* in order of preference; NULL-terminated */
};

enum { TLS_PAIRS_MAX = 256, TLS_TICKET_KEY_LIFE_S = 3600 };

/* On error *why names the file, the fault and the remedy. A client that offers ALPN
 * of which nothing matches gets the alert no_application_protocol (RFC 7301, 3.2).
 * Session tickets are sealed with keys that live an hour and are accepted for one more. */
enum err tls_context_new(const struct tls_settings *s, struct tls_context **out,
                         struct buf *why) MUST_CHECK;
/* No connection may use it any more. Any thread. Accepts NULL; returns NULL. */
struct tls_context *tls_context_free(struct tls_context *c);
/* A new accepting SSL object for transport_open; NULL when memory ran out. Any thread. */
struct ssl_st *tls_context_accept(struct tls_context *c);

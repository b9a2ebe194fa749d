/* Server-side TLS contexts: certificates by SNI, ALPN, tickets, clients' certificates. One context
 * serves all workers of a process. */
#pragma once

#include <stdbool.h>
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
  /* PEM file of the CAs whose client certificates are good; NULL: none is asked for. A client that
   * shows a bad one is refused, and with client_required one that shows none. */
  const char *client_ca;
  bool client_required;
};

enum {
  TLS_PAIRS_MAX = 256,
  TLS_TICKET_KEY_LIFE_S = 3600,
  TLS_CLIENT_NAMES_MAX = 32, /* of a certificate; further and longer ones are left out */
  TLS_CLIENT_NAME_BYTES_MAX = 255,
};

/* Before each of a client's names: where in its certificate it stands. */
enum tls_client_name { TLS_NAME_COMMON = 'c', TLS_NAME_DNS = 'd', TLS_NAME_URI = 'u' };

/* On error *why names the file, the fault and the remedy. A client that offers ALPN
 * of which nothing matches gets the alert no_application_protocol (RFC 7301, 3.2).
 * Session tickets are sealed with keys that live an hour and are accepted for one more; they hold
 * the client's certificate, and no other context accepts them. */
enum err tls_context_new(const struct tls_settings *s, struct tls_context **out,
                         struct buf *why) MUST_CHECK;
/* No connection may use it any more. Any thread. Accepts NULL; returns NULL. */
struct tls_context *tls_context_free(struct tls_context *c);
/* A new accepting SSL object for transport_open; NULL when memory ran out. Any thread. */
struct ssl_st *tls_context_accept(struct tls_context *c);
/* Of a connection whose handshake is complete: the names in the certificate that its client has
 * shown, then or in the session that is resumed, and that was found good and has not run out since.
 * Each is a byte of enum tls_client_name and a text that ends with NUL; another NUL ends them. The
 * caller frees them. NULL: there is no such certificate. */
enum err tls_client_names(struct ssl_st *ssl, char **names) MUST_CHECK;
/* Of the handshake that has just failed, on this thread: for want of a good client certificate. */
bool tls_client_refused(void);

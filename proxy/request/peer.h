/* Who is at the other end: the peer of a connection, and the client that trusted peers speak for.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "lib/base/err.h"

struct request;
struct worker;

/* What a connection has shown of its client, besides an address. Zeroed is nothing. */
struct identity {
  char *vpc_endpoint;      /* of its PROXY header; NULL: none was said */
  char *certificate_names; /* see tls_client_names; NULL: it has no good certificate */
};
/* Frees what it owns. */
void identity_forget(struct identity *i);

/* Whether it is one of trusted_peers. */
bool peer_trusted(const struct worker *w, const struct sockaddr_storage *peer);
/* Whether what is counted of a client address is counted of it: behind a trusted peer, and on a
 * Unix socket, stand many. */
bool peer_counts(const struct worker *w, const struct sockaddr_storage *peer);
/* The client's own address, as far as it can be believed: the peer's, or behind a trusted one that
 * entry of X-Forwarded-For which is the last that is not itself a trusted peer's (the first, if all
 * are). ERR_SYNTAX: a trusted peer says something else than an address there, or its PROXY header
 * names nobody; then it is nobody's. */
enum err peer_client(const struct request *r, struct sockaddr_storage *client) MUST_CHECK;

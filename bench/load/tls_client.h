/* TLS as a client: whom to trust, ALPN, sessions to resume. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"

struct buf;
struct ssl_st;
struct tls_client;

struct tls_client_settings {
  const char *ca_file; /* NULL: those of the system */
  const char *name;    /* to be in the certificate; sent as SNI unless it is an address */
  bool insecure, resume;
};

/* On error *why names the file and the remedy. */
enum err tls_client_new(const struct tls_client_settings *s, struct tls_client **out,
                        struct buf *why) MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct tls_client *tls_client_free(struct tls_client *t);
/* A connecting object that offers HTTP version 1, 2 or (0) both; NULL when memory ran out. */
struct ssl_st *tls_client_connect(struct tls_client *t, int version);
/* Why the last handshake failed, in words; "" when nothing is known. */
const char *tls_client_failure(struct ssl_st *ssl);

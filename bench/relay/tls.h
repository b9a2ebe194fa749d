#ifndef RELAY_TLS_H
#define RELAY_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* TLS towards the client, over memory: what was read is given in, what is to be written is taken
 * out. One at a time, so that all connections share the room. */

struct bytes {
  char *at;
  size_t len;
};

/* NULL when the certificate or its key cannot be used. */
SSL_CTX *tls_context(const char *certificate, const char *key);
SSL *tls_accept(SSL_CTX *context);
/* Decrypts into `to`; what has to be answered is in `out`. False when the client is through. */
bool tls_decrypt(SSL *ssl, struct bytes in, char *to, size_t room, size_t *len, struct bytes *out);
/* Encrypts all of it. False when that cannot be. */
bool tls_encrypt(SSL *ssl, struct bytes in, struct bytes *out);

#endif

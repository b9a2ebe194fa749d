/* What a handshake of TLS 1.3 leaves, taken out of OpenSSL by what it tells: the traffic secrets
 * from its key log, and the count of records from whoever may look at them. */
#pragma once

#include <stdbool.h>

struct ciphers;
struct records;
struct ssl_ctx_st;
struct ssl_st;

/* SSL objects of this context tell their secrets to those that watch them. */
void traffic_tell(struct ssl_ctx_st *ctx);
/* Before its handshake; what is seen is kept with the SSL object, and zeroed and freed with it.
 * false: no memory. */
bool traffic_watch(struct ssl_st *ssl);
/* Of a connection whose handshake is complete, and of which nothing was read since: what its
 * records need from here on, after which `ssl` is for nothing but SSL_free. NULL: it must go on
 * with OpenSSL (TLS 1.2, a suite that is not known), or no memory. */
struct records *traffic_take_over(struct ssl_st *ssl, struct ciphers *c);

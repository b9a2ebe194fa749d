#include "tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <string.h>

enum { TLS_OUT_BYTES = 192 * 1024 }; /* what 64 KiB become, and a handshake with it */

static struct bytes tls_in;
static char out_room[TLS_OUT_BYTES];
static size_t out_len;
static BIO_METHOD *method;

static int room_read(BIO *bio, char *to, int room) {
  size_t n = tls_in.len < (size_t)room ? tls_in.len : (size_t)room;
  BIO_clear_retry_flags(bio);
  if (!n) {
    BIO_set_retry_read(bio);
    return -1;
  }
  memcpy(to, tls_in.at, n);
  tls_in.at += n;
  tls_in.len -= n;
  return (int)n;
}

static int room_write(BIO *bio, const char *from, int len) {
  BIO_clear_retry_flags(bio);
  if (out_len + (size_t)len > sizeof(out_room))
    return -1;
  memcpy(out_room + out_len, from, (size_t)len);
  out_len += (size_t)len;
  return len;
}

static long room_control(BIO *bio, int command, long n, void *p) {
  return command == BIO_CTRL_FLUSH;
}

static int room_create(BIO *bio) {
  BIO_set_init(bio, 1);
  return 1;
}

/* Its engine speaks HTTP/1.1 only; a client that asks by ALPN wants to hear so. */
static int tls_choose(SSL *ssl, const unsigned char **chosen, unsigned char *len,
                      const unsigned char *offered, unsigned offered_len, void *unused) {
  static const unsigned char only[] = "\x08http/1.1";
  int found = SSL_select_next_proto((unsigned char **)chosen, len, only, sizeof(only) - 1, offered,
                                    offered_len);
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

SSL_CTX *tls_context(const char *certificate, const char *key) {
  SSL_CTX *c = SSL_CTX_new(TLS_server_method());
  method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "room");
  if (!c || !method || SSL_CTX_use_certificate_chain_file(c, certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1) {
    SSL_CTX_free(c);
    return NULL;
  }
  BIO_meth_set_read(method, room_read);
  BIO_meth_set_write(method, room_write);
  BIO_meth_set_ctrl(method, room_control);
  BIO_meth_set_create(method, room_create);
  SSL_CTX_set_alpn_select_cb(c, tls_choose, NULL);
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
  return c;
}

SSL *tls_accept(SSL_CTX *context) {
  SSL *ssl = SSL_new(context);
  BIO *bio = ssl ? BIO_new(method) : NULL;
  if (!bio) {
    SSL_free(ssl);
    return NULL;
  }
  SSL_set_bio(ssl, bio, bio);
  SSL_set_accept_state(ssl);
  return ssl;
}

static void tls_taken(struct bytes *out) {
  *out = (struct bytes){out_room, out_len};
  out_len = 0;
}

bool tls_decrypt(SSL *ssl, struct bytes in, char *to, size_t room, size_t *len, struct bytes *out) {
  int n;
  tls_in = in;
  *len = 0;
  ERR_clear_error();
  while ((n = SSL_read(ssl, to + *len, (int)(room - *len))) > 0)
    *len += (size_t)n;
  tls_taken(out);
  return SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ;
}

bool tls_encrypt(SSL *ssl, struct bytes in, struct bytes *out) {
  tls_in.len = 0;
  ERR_clear_error();
  int n = SSL_write(ssl, in.at, (int)in.len);
  tls_taken(out);
  return n == (int)in.len;
}

#include "bench/load/tls_client.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "lib/base/buf.h"

enum { TLS_CLIENT_NAME_BYTES = 256 };

struct tls_client {
  SSL_CTX *context;
  SSL_SESSION *session; /* the last one given, for all */
  bool resume, is_address;
  char name[TLS_CLIENT_NAME_BYTES];
};

static int session_came(SSL *ssl, SSL_SESSION *session) {
  struct tls_client *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
  SSL_SESSION_free(t->session);
  t->session = session;
  return 1;
}

static bool is_address(const char *name) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static enum err trust_open(struct tls_client *t, const struct tls_client_settings *s,
                           struct buf *why) {
  SSL_CTX_set_verify(t->context, s->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
  if (!s->ca_file)
    return SSL_CTX_set_default_verify_paths(t->context) == 1 ? OK : ERR_TLS;
  if (SSL_CTX_load_verify_locations(t->context, s->ca_file, NULL) == 1)
    return OK;
  buf_printf(why, "--cacert: no certificates could be read from %s; give a PEM file", s->ca_file);
  return ERR_TLS;
}

enum err tls_client_new(const struct tls_client_settings *s, struct tls_client **out,
                        struct buf *why) {
  struct tls_client *t = calloc(1, sizeof *t);
  if (!t || !(t->context = SSL_CTX_new(TLS_client_method()))) {
    free(t);
    return ERR_MEMORY;
  }
  *out = t;
  t->resume = s->resume;
  t->is_address = is_address(s->name);
  snprintf(t->name, sizeof t->name, "%s", s->name);
  SSL_CTX_set_app_data(t->context, t);
  SSL_CTX_set_mode(t->context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION);
  if (s->resume) {
    SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(t->context, session_came);
  } else {
    SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(t->context, SSL_OP_NO_TICKET);
  }
  return trust_open(t, s, why);
}

struct tls_client *tls_client_free(struct tls_client *t) {
  if (!t)
    return NULL;
  SSL_SESSION_free(t->session);
  SSL_CTX_free(t->context);
  free(t);
  return NULL;
}

static bool name_set(const struct tls_client *t, SSL *ssl) {
  if (t->is_address)
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), t->name) == 1;
  return SSL_set_tlsext_host_name(ssl, t->name) == 1 && SSL_set1_host(ssl, t->name) == 1;
}

/* A copy: OpenSSL lets a session of TLS 1.3 be used only once. */
static void session_offer(const struct tls_client *t, SSL *ssl) {
  SSL_SESSION *copy = SSL_SESSION_dup(t->session);
  if (copy)
    SSL_set_session(ssl, copy);
  SSL_SESSION_free(copy);
}

struct ssl_st *tls_client_connect(struct tls_client *t, int version) {
  static const unsigned char both[] = "\x02h2\x08http/1.1";
  SSL *ssl = SSL_new(t->context);
  if (!ssl)
    return NULL;
  SSL_set_connect_state(ssl);
  const unsigned char *offer = version == 1 ? both + 3 : both;
  unsigned len = version == 1 ? 9 : version == 2 ? 3 : sizeof both - 1;
  if (!name_set(t, ssl) || SSL_set_alpn_protos(ssl, offer, len) != 0) {
    SSL_free(ssl);
    return NULL;
  }
  if (t->resume && t->session)
    session_offer(t, ssl);
  return ssl;
}

const char *tls_client_failure(struct ssl_st *ssl) {
  long verify = SSL_get_verify_result(ssl);
  unsigned long code = ERR_peek_error();
  if (verify != X509_V_OK)
    return X509_verify_cert_error_string(verify);
  const char *reason = code ? ERR_reason_error_string(code) : NULL;
  return reason ? reason : "";
}

#include "lib/net/tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/net/key.h"
#include "lib/net/traffic.h"

enum { TICKET_NAME_BYTES = 16, ALPN_WIRE_BYTES = 256 };

struct ticket_key {
  unsigned char name[TICKET_NAME_BYTES], cipher[32], mac[32];
  usec_t made_us;
};

struct tls_context {
  SSL_CTX *contexts[TLS_PAIRS_MAX]; /* one per certificate */
  X509 *leaves[TLS_PAIRS_MAX];
  int count;
  unsigned char alpn[ALPN_WIRE_BYTES];
  unsigned alpn_len;
  pthread_mutex_t lock;                     /* of the ticket keys */
  struct ticket_key keys[2];                /* the one in use, the one before it */
  X509_STORE *client_cas;                   /* NULL: no client certificate is asked for */
  unsigned char id[SSL_MAX_SID_CTX_LENGTH]; /* a session of another context is none here */
  EVP_CIPHER *ticket_cipher;                /* looked up once: OpenSSL 3 takes its time for that */
};

static enum err fail(struct buf *why, const char *path, const char *what) {
  unsigned long code = ERR_peek_last_error();
  const char *reason = code ? ERR_reason_error_string(code) : NULL;
  buf_printf(why, "%s: %s%s%s%s", path, what, reason ? " (" : "", reason ? reason : "",
             reason ? ")" : "");
  ERR_clear_error();
  return ERR_TLS;
}

static enum err pair_use(SSL_CTX *ctx, const struct tls_pair *pair, struct buf *why) {
  ERR_clear_error();
  BIO *bio = BIO_new_file(pair->certificate, "r");
  if (!bio)
    return fail(why, pair->certificate,
                "the certificate file cannot be read; check path and permissions");
  BIO_free(bio);
  if (SSL_CTX_use_certificate_chain_file(ctx, pair->certificate) != 1)
    return fail(why, pair->certificate,
                "no PEM certificate in it; the leaf must come first, then its chain");
  const char *key_name = key_is_text(pair->key) ? "the key" : pair->key;
  EVP_PKEY *key = key_read(pair->key);
  if (!key)
    return fail(
        why, key_name,
        "no readable PEM private key; check path, permissions and that it has no passphrase");
  int used = SSL_CTX_use_PrivateKey(ctx, key);
  EVP_PKEY_free(key);
  if (used != 1)
    return fail(why, key_name, "the private key does not belong to the certificate");
  return OK;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *user) {
  struct tls_context *c = user;
  if (SSL_select_next_proto((unsigned char **)out, out_len, c->alpn, c->alpn_len, in, in_len) ==
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_OK;
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The certificate that is for this name: an exact one before a wildcard. */
static int choose_certificate(SSL *ssl, int *alert, void *user) {
  struct tls_context *c = user;
  const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  for (int wild = 0; name && wild < 2; wild++)
    for (int i = 0; i < c->count; i++)
      if (X509_check_host(c->leaves[i], name, 0, wild ? 0 : X509_CHECK_FLAG_NO_WILDCARDS, NULL) ==
          1) {
        SSL_set_SSL_CTX(ssl, c->contexts[i]);
        return SSL_TLSEXT_ERR_OK;
      }
  return SSL_TLSEXT_ERR_OK;
}

static bool key_make(struct ticket_key *k) {
  k->made_us = clock_mono();
  return RAND_bytes(k->name, sizeof k->name) == 1 && RAND_bytes(k->cipher, sizeof k->cipher) == 1 &&
         RAND_bytes(k->mac, sizeof k->mac) == 1;
}

/* Copies the key to seal with, or the one of that name; 0 none, 1 current, 2 old. */
static int key_find(struct tls_context *c, const unsigned char *name, struct ticket_key *out) {
  int found = 0;
  pthread_mutex_lock(&c->lock);
  usec_t age = clock_mono() - c->keys[0].made_us;
  if (age > TLS_TICKET_KEY_LIFE_S * USEC_PER_S) {
    c->keys[1] = c->keys[0];
    if (!key_make(&c->keys[0]))
      c->keys[0] = c->keys[1];
  }
  if (!name || memcmp(name, c->keys[0].name, TICKET_NAME_BYTES) == 0)
    found = 1;
  else if (memcmp(name, c->keys[1].name, TICKET_NAME_BYTES) == 0)
    found = 2;
  if (found)
    *out = c->keys[found - 1];
  pthread_mutex_unlock(&c->lock);
  return found;
}

static int ticket_seal(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                       EVP_MAC_CTX *mac, int sealing) {
  struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
  struct ticket_key key;
  int found = key_find(c, sealing ? NULL : name, &key);
  if (!found)
    return 0;
  if (sealing) {
    memcpy(name, key.name, TICKET_NAME_BYTES);
    if (RAND_bytes(iv, 16) != 1)
      return -1;
  }
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac, sizeof key.mac),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
      OSSL_PARAM_construct_end(),
  };
  bool good = EVP_CipherInit_ex2(cipher, c->ticket_cipher, key.cipher, iv, sealing, NULL) == 1 &&
              EVP_MAC_CTX_set_params(mac, params) == 1;
  OPENSSL_cleanse(&key, sizeof key);
  return good ? found : -1;
}

static enum err cas_load(struct tls_context *c, const char *path, struct buf *why) {
  if (!path)
    return OK;
  ERR_clear_error();
  c->client_cas = X509_STORE_new();
  if (!c->client_cas)
    return ERR_MEMORY;
  if (X509_STORE_load_file(c->client_cas, path) != 1)
    return fail(why, path,
                "no readable PEM certificates of client CAs; check path and permissions");
  return OK;
}

static enum err clients_verify(SSL_CTX *ctx, const struct tls_context *c,
                               const struct tls_settings *s) {
  if (!c->client_cas)
    return OK;
  STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(s->client_ca);
  if (!names || SSL_CTX_set1_verify_cert_store(ctx, c->client_cas) != 1)
    return ERR_MEMORY;
  SSL_CTX_set_client_CA_list(ctx, names);
  SSL_CTX_set_verify(
      ctx, SSL_VERIFY_PEER | (s->client_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
  return OK;
}

static void alpn_wire(struct tls_context *c, char *const *names) {
  for (; names && *names; names++) {
    size_t n = strlen(*names);
    if (n == 0 || n > 255 || c->alpn_len + 1 + n > ALPN_WIRE_BYTES)
      continue;
    c->alpn[c->alpn_len++] = (unsigned char)n;
    memcpy(c->alpn + c->alpn_len, *names, n);
    c->alpn_len += (unsigned)n;
  }
}

static void context_settings(SSL_CTX *ctx, struct tls_context *c, const struct tls_settings *s) {
  bool only_13 = s->min_version && strcmp(s->min_version, "1.3") == 0;
  SSL_CTX_set_min_proto_version(ctx, only_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                               SSL_OP_CLEANSE_PLAINTEXT); /* tokens are in it */
  SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_session_id_context(ctx, c->id, sizeof c->id);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 1); /* a client that resumes gets another one */
  SSL_CTX_set_app_data(ctx, c);
  traffic_tell(ctx);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_seal);
  SSL_CTX_set_tlsext_servername_callback(ctx, choose_certificate);
  SSL_CTX_set_tlsext_servername_arg(ctx, c);
  if (c->alpn_len)
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, c);
}

static enum err pair_add(struct tls_context *c, const struct tls_settings *s,
                         const struct tls_pair *pair, struct buf *why) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
  if (!ctx)
    return ERR_MEMORY;
  c->contexts[c->count] = ctx;
  context_settings(ctx, c, s);
  enum err e = clients_verify(ctx, c, s);
  if (!e)
    e = pair_use(ctx, pair, why);
  if (e) {
    SSL_CTX_free(ctx);
    return e;
  }
  c->leaves[c->count++] = SSL_CTX_get0_certificate(ctx);
  return OK;
}

enum err tls_context_new(const struct tls_settings *s, struct tls_context **out, struct buf *why) {
  struct tls_context *c = calloc(1, sizeof *c);
  if (c)
    c->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
  if (!c || !c->ticket_cipher || !key_make(&c->keys[0]) || !key_make(&c->keys[1]) ||
      RAND_bytes(c->id, sizeof c->id) != 1) {
    if (c)
      EVP_CIPHER_free(c->ticket_cipher);
    free(c);
    return ERR_MEMORY;
  }
  pthread_mutex_init(&c->lock, NULL);
  alpn_wire(c, s->alpn);
  enum err e = s->pair_count > 0 && s->pair_count <= TLS_PAIRS_MAX ? OK : ERR_RANGE;
  if (e)
    buf_str(why, "a TLS listener needs 1 to 256 certificates");
  else
    e = cas_load(c, s->client_ca, why);
  for (int i = 0; !e && i < s->pair_count; i++)
    e = pair_add(c, s, &s->pairs[i], why);
  if (e)
    tls_context_free(c);
  else
    *out = c;
  return e;
}

struct tls_context *tls_context_free(struct tls_context *c) {
  if (!c)
    return NULL;
  for (int i = 0; i < c->count; i++)
    SSL_CTX_free(c->contexts[i]);
  X509_STORE_free(c->client_cas);
  pthread_mutex_destroy(&c->lock);
  EVP_CIPHER_free(c->ticket_cipher);
  OPENSSL_cleanse(c->keys, sizeof c->keys);
  free(c);
  return NULL;
}

struct ssl_st *tls_context_accept(struct tls_context *c) {
  SSL *ssl = SSL_new(c->contexts[0]);
  if (ssl && !traffic_watch(ssl)) {
    SSL_free(ssl);
    return NULL;
  }
  if (ssl)
    SSL_set_accept_state(ssl);
  return ssl;
}

/* The names of a certificate, as far as they are kept. */
struct names {
  struct buf text;
  int count;
};

static void name_put(struct names *n, enum tls_client_name kind, const unsigned char *text,
                     int len) {
  if (len <= 0 || len > TLS_CLIENT_NAME_BYTES_MAX || memchr(text, 0, (size_t)len) ||
      n->count == TLS_CLIENT_NAMES_MAX)
    return;
  char first = (char)kind;
  buf_add(&n->text, slice_of(&first, 1));
  buf_add(&n->text, slice_of((const char *)text, (size_t)len));
  buf_add(&n->text, SLICE("\0"));
  n->count++;
}

static void common_names_put(struct names *n, const X509 *leaf) {
  const X509_NAME *subject = X509_get_subject_name(leaf);
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
    unsigned char *text = NULL;
    int len =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    name_put(n, TLS_NAME_COMMON, text, len);
    OPENSSL_free(text);
  }
}

static void alternative_names_put(struct names *n, const X509 *leaf) {
  GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
  for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
    int kind;
    const ASN1_STRING *text = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &kind);
    if (kind == GEN_DNS || kind == GEN_URI)
      name_put(n, kind == GEN_DNS ? TLS_NAME_DNS : TLS_NAME_URI, ASN1_STRING_get0_data(text),
               ASN1_STRING_length(text));
  }
  GENERAL_NAMES_free(all);
}

enum err tls_client_names(struct ssl_st *ssl, char **names) {
  const X509 *leaf = SSL_get0_peer_certificate(ssl);
  *names = NULL;
  if (!leaf || SSL_get_verify_result(ssl) != X509_V_OK ||
      X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0)
    return OK;
  struct names n = {BUF_INIT(TLS_CLIENT_NAMES_MAX * (TLS_CLIENT_NAME_BYTES_MAX + 2) + 1), 0};
  common_names_put(&n, leaf);
  alternative_names_put(&n, leaf);
  ERR_clear_error();
  buf_add(&n.text, SLICE("\0"));
  if (n.text.failed) {
    buf_free(&n.text);
    return ERR_MEMORY;
  }
  *names = n.text.data;
  return OK;
}

bool tls_client_refused(void) {
  int reason = ERR_GET_REASON(ERR_peek_last_error());
  return reason == SSL_R_CERTIFICATE_VERIFY_FAILED ||
         reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
}

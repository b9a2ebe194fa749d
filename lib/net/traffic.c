#include "lib/net/traffic.h"

#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/net/records.h"

/* The secrets of a handshake are to be had as the lines of a key log, and how many records have
 * gone under them from whoever looks on. Both are kept beside the SSL object, and freed with it. */
static int traffic_index = -1;

static void traffic_free(void *parent, void *p, CRYPTO_EX_DATA *data, int index, long number,
                         void *user) {
  if (p)
    OPENSSL_cleanse(p, sizeof(struct traffic));
  free(p);
}

static void traffic_index_make(void) {
  traffic_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, traffic_free);
}

/* "LABEL CLIENT_RANDOM SECRET", the latter two in hexadecimal. */
static size_t secret_read(const char *line, const char *label, uint8_t *to) {
  size_t n = strlen(label), len = 0;
  const char *hex = strncmp(line, label, n) == 0 ? strrchr(line, ' ') : NULL;
  if (!hex || OPENSSL_hexstr2buf_ex(to, RECORD_SECRET_BYTES_MAX, &len, hex + 1, '\0') != 1)
    return 0;
  return len;
}

static void traffic_take(const SSL *ssl, const char *line) {
  struct traffic *t = SSL_get_ex_data(ssl, traffic_index);
  if (t && !t->in_len)
    t->in_len = secret_read(line, "CLIENT_TRAFFIC_SECRET_0 ", t->in);
  if (t && !t->out_len)
    t->out_len = secret_read(line, "SERVER_TRAFFIC_SECRET_0 ", t->out);
}

/* The last words of a handshake, tickets, go under the new keys already. */
static void traffic_count(int out, int version, int type, const void *bytes, size_t len, SSL *ssl,
                          void *user) {
  struct traffic *t = SSL_get_ex_data(ssl, traffic_index);
  if (t && t->out_len && out && type == SSL3_RT_HEADER)
    t->out_records++;
}

void traffic_tell(struct ssl_ctx_st *ctx) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, traffic_index_make);
  SSL_CTX_set_keylog_callback(ctx, traffic_take);
}

bool traffic_watch(struct ssl_st *ssl) {
  struct traffic *t = calloc(1, sizeof *t);
  if (!t || SSL_set_ex_data(ssl, traffic_index, t) != 1) {
    free(t);
    return false;
  }
  SSL_set_msg_callback(ssl, traffic_count);
  return true;
}

struct records *traffic_take_over(struct ssl_st *ssl, struct ciphers *c) {
  struct traffic *t = SSL_get_ex_data(ssl, traffic_index);
  if (!t || SSL_version(ssl) != TLS1_3_VERSION || SSL_has_pending(ssl))
    return NULL;
  t->suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl));
  return records_new(c, t);
}

/* TLS over the run's scratch: OpenSSL sees a BIO that never touches the socket, so that one read
 * takes in many records and one write puts out many. Not lib/net's transport: that serves, and what
 * measures it should share neither its costs nor its faults. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "bench/load/conn.h"
#include "bench/load/load.h"
#include "bench/load/tls_client.h"

enum { RECORDS_BYTES = 2 * LOAD_WRITE_BYTES };

static void records_put(struct conn *c) {
  struct load *l = c->load;
  struct slice records = slice_of(l->records, l->record_len);
  l->record_len = 0;
  if (records.len)
    conn_put_raw(c, records);
}

static int bio_write(BIO *bio, const char *data, int len) {
  struct conn *c = BIO_get_data(bio);
  struct load *l = c->load;
  BIO_clear_retry_flags(bio);
  if (l->record_len + (size_t)len > RECORDS_BYTES)
    records_put(c);
  memcpy(l->records + l->record_len, data, (size_t)len);
  l->record_len += (size_t)len;
  return len;
}

static int bio_read(BIO *bio, char *to, int room) {
  struct conn *c = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (c->raw.len == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t n = c->raw.len < (size_t)room ? c->raw.len : (size_t)room;
  memcpy(to, c->raw.data, n);
  c->raw = slice_skip(c->raw, n);
  return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
  return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method(void) {
  static BIO_METHOD *method;
  if (!method && (method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "load"))) {
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_ctrl(method, bio_ctrl);
  }
  return method;
}

static int version_chosen(const struct conn *c) {
  const unsigned char *name = NULL;
  unsigned len = 0;
  SSL_get0_alpn_selected(c->ssl, &name, &len);
  return slice_equal(slice_of((const char *)name, len), SLICE("h2")) ? 2 : 1;
}

/* False while the handshake goes on, or has failed. */
static bool handshake(struct conn *c) {
  ERR_clear_error();
  int n = SSL_do_handshake(c->ssl);
  records_put(c);
  if (n == 1 && (!c->version || c->version == version_chosen(c))) {
    c->load->handshakes++;
    c->load->resumed += (uint64_t)SSL_session_reused(c->ssl);
    conn_ready(c, version_chosen(c));
    return true;
  }
  if (n != 1 && SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ)
    return false;
  load_say(c->load, ERROR_TLS,
           n == 1 ? "the server does not speak that version of HTTP" : tls_client_failure(c->ssl));
  conn_close(c, ERROR_TLS, false);
  return false;
}

bool conn_tls_open(struct conn *c) {
  c->ssl = tls_client_connect(c->load->tls, c->version);
  BIO *bio = c->ssl && bio_method() ? BIO_new(bio_method()) : NULL;
  if (!bio)
    return false;
  BIO_set_data(bio, c);
  BIO_set_init(bio, 1);
  SSL_set_bio(c->ssl, bio, bio);
  handshake(c);
  return true;
}

/* All that the records hold, at most LOAD_READ_BYTES at a time. */
static size_t decrypt(struct conn *c, int *status) {
  size_t len = 0;
  *status = SSL_ERROR_NONE;
  ERR_clear_error();
  while (len < LOAD_READ_BYTES) {
    int n = SSL_read(c->ssl, c->load->plain + len, (int)(LOAD_READ_BYTES - len));
    if (n <= 0) {
      *status = SSL_get_error(c->ssl, n);
      break;
    }
    len += (size_t)n;
  }
  records_put(c);
  return len;
}

void conn_tls_take(struct conn *c, struct slice raw) {
  c->raw = raw;
  if (c->state == CONN_HANDSHAKE && !handshake(c))
    return;
  int status;
  do {
    size_t len = decrypt(c, &status);
    if (len && !c->closing)
      c->protocol->take(c, slice_of(c->load->plain, len));
  } while (status == SSL_ERROR_NONE && !c->closing);
  if (status == SSL_ERROR_ZERO_RETURN)
    conn_close(c, ERROR_RESET, true);
  else if (status != SSL_ERROR_NONE && status != SSL_ERROR_WANT_READ)
    conn_close(c, ERROR_TLS, false);
}

void conn_tls_put(struct conn *c, struct slice bytes) {
  size_t written;
  ERR_clear_error();
  if (SSL_write_ex(c->ssl, bytes.data, bytes.len, &written) != 1)
    c->closing = true;
  records_put(c);
}

void conn_tls_goodbye(struct conn *c) {
  ERR_clear_error();
  SSL_shutdown(c->ssl);
  records_put(c);
}

/* Without our having said goodbye OpenSSL would spoil the session for the next. */
void conn_tls_free(struct conn *c) {
  if (!c->ssl)
    return;
  SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(c->ssl);
  c->ssl = NULL;
  c->raw = SLICE_NONE;
}

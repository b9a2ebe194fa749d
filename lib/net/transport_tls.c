/* TLS over the loop's scratch: one read(2) takes in many records, one write(2) puts
 * out many. OpenSSL sees a BIO of our own that never touches the socket. After a handshake of TLS
 * 1.3 transport_records goes on in its place; what is left is TLS 1.2. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>

#include "lib/net/records.h"
#include "lib/net/traffic.h"
#include "lib/net/transport.h"

static int bio_write(BIO *bio, const char *data, int len) {
  struct transport *t = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  memcpy(transport_make(t, (size_t)len), data, (size_t)len);
  t->loop->going_end += (size_t)len;
  return len;
}

static int bio_read(BIO *bio, char *to, int room) {
  struct transport *t = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (t->raw.len == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t n = t->raw.len < (size_t)room ? t->raw.len : (size_t)room;
  memcpy(to, t->raw.data, n);
  t->raw = slice_skip(t->raw, n);
  return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
  return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio) {
  BIO_set_init(bio, 1);
  return 1;
}

static BIO_METHOD *method;

static void method_make(void) {
  method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "transport");
  if (!method)
    return;
  BIO_meth_set_write(method, bio_write);
  BIO_meth_set_read(method, bio_read);
  BIO_meth_set_ctrl(method, bio_ctrl);
  BIO_meth_set_create(method, bio_create);
}

enum err transport_tls_open(struct transport *t) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, method_make);
  BIO *bio = method ? BIO_new(method) : NULL;
  if (!bio)
    return ERR_MEMORY;
  BIO_set_data(bio, t);
  SSL_set_bio(t->ssl, bio, bio);
  return OK;
}

/* SSL_get_error looks at the queue. It is empty but after a failure, and to empty it costs as much
 * as a small record. */
static void forget_errors(void) {
  if (ERR_peek_error())
    ERR_clear_error();
}

/* False while the handshake goes on, or has failed. */
static bool handshake(struct transport *t) {
  forget_errors();
  int n = SSL_do_handshake(t->ssl);
  transport_commit(t);
  if (n == 1) {
    t->ready = true;
    t->events->on_ready(t);
    return !t->closed && !t->finishing;
  }
  if (SSL_get_error(t->ssl, n) != SSL_ERROR_WANT_READ)
    transport_fail(t, TRANSPORT_TLS_FAILED);
  return false;
}

/* What was gathered meanwhile is still plain, and goes out by the new way. */
static bool taken_over(struct transport *t) {
  struct loop *l = t->loop;
  if (!l->ciphers && !(l->ciphers = ciphers_new()))
    return false;
  t->records = traffic_take_over(t->ssl, l->ciphers);
  if (!t->records)
    return false;
  transport_tls.release(t);
  t->ops = &transport_records;
  return true;
}

/* All that the records hold; never more bytes than the records themselves. */
static size_t decrypt(struct transport *t, int *status) {
  size_t len = 0;
  *status = SSL_ERROR_NONE;
  forget_errors();
  while (len < LOOP_READ_BYTES) {
    int n = SSL_read(t->ssl, t->loop->plain_scratch + len, (int)(LOOP_READ_BYTES - len));
    if (n <= 0) {
      *status = SSL_get_error(t->ssl, n);
      break;
    }
    len += (size_t)n;
  }
  transport_commit(t);
  return len;
}

static void tls_take(struct transport *t, struct slice raw) {
  t->raw = raw;
  if (!t->ready) {
    if (!handshake(t))
      return;
    if (taken_over(t)) {
      t->ops->take(t, t->raw);
      return;
    }
  }
  int status;
  do {
    size_t len = decrypt(t, &status);
    if (len && !t->closed && !t->ended)
      t->events->on_bytes(t, slice_of(t->loop->plain_scratch, len));
    if (t->closed)
      return;
  } while (status == SSL_ERROR_NONE);
  if (status == SSL_ERROR_ZERO_RETURN)
    transport_fail(t, TRANSPORT_EOF);
  else if (status != SSL_ERROR_WANT_READ)
    transport_fail(t, TRANSPORT_TLS_FAILED);
}

static bool encrypt(struct transport *t, struct slice bytes) {
  size_t written;
  return bytes.len == 0 || SSL_write_ex(t->ssl, bytes.data, bytes.len, &written) == 1;
}

static void tls_put(struct transport *t, struct slice gathered, struct slice span) {
  forget_errors();
  if (encrypt(t, gathered) && encrypt(t, span)) {
    transport_commit(t);
    return;
  }
  t->loop->going_end = t->loop->going_bytes;
  transport_put_failed(t);
}

/* The socket ended without close_notify: somebody may have cut it. Who connects only to see whether
 * that works has not failed. */
static enum transport_end tls_ended(struct transport *t) {
  ERR_clear_error(); /* another one's */
  if (t->ready)
    return TRANSPORT_CUT;
  return SSL_in_before(t->ssl) ? TRANSPORT_EOF : TRANSPORT_TLS_FAILED;
}

static void tls_goodbye(struct transport *t) {
  if (!t->ready)
    return;
  forget_errors();
  SSL_shutdown(t->ssl);
  transport_commit(t);
}

static void tls_release(struct transport *t) {
  if (t->ready)
    SSL_set_quiet_shutdown(t->ssl, 1); /* keeps the session for a ticket */
  SSL_free(t->ssl);
  t->ssl = NULL;
}

struct slice transport_alpn(const struct transport *t) {
  const unsigned char *name = NULL;
  unsigned len = 0;
  if (t->ssl)
    SSL_get0_alpn_selected(t->ssl, &name, &len);
  return slice_of((const char *)name, len);
}

const struct transport_ops transport_tls = {
    .take = tls_take,
    .put = tls_put,
    .ended = tls_ended,
    .goodbye = tls_goodbye,
    .release = tls_release,
};

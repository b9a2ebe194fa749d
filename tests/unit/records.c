/* Records of TLS 1.3 (RFC 8446, 5) against OpenSSL's client, over the transport that takes a
 * connection over. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/net/loop.h"
#include "lib/net/records.h"
#include "lib/net/selfsign.h"
#include "lib/net/tls.h"
#include "lib/net/transport.h"

enum { CHUNKS_BYTES = 64 << 20, TURNS_MAX = 20000, BULK_BYTES = 300 * 1000 };

static struct loop *loop;
static struct tls_context *context;
static char directory[] = "/tmp/headrace-records-XXXXXX";

/* The server echoes. */
static struct transport server;
static enum transport_end server_end;
static bool server_ready, server_ended;

static SSL_CTX *client_context;
static SSL *client;
static BIO *to_server, *from_server;
static int client_fd;

static void on_ready(struct transport *t) {
  server_ready = true;
}

static void on_bytes(struct transport *t, struct slice bytes) {
  struct iovec v = {(void *)bytes.data, bytes.len};
  cr_assert_eq(transport_send(t, &v, 1), OK);
}

static void on_drained(struct transport *t) {
}

static void on_end(struct transport *t, enum transport_end end) {
  server_ended = true;
  server_end = end;
}

static const struct transport_events events = {
    .on_ready = on_ready, .on_bytes = on_bytes, .on_drained = on_drained, .on_end = on_end};

static void forward(const char *bytes, size_t n) {
  while (n) {
    ssize_t sent = send(client_fd, bytes, n, MSG_NOSIGNAL);
    if (sent < 0) {
      loop_turn(loop, false);
      continue;
    }
    bytes += sent;
    n -= (size_t)sent;
  }
}

/* What the client wants sent goes out in pieces, and what has come for it is put before it. */
static void pump(size_t piece) {
  char bytes[4096];
  int n;
  while ((n = BIO_read(from_server, bytes, piece < sizeof bytes ? (int)piece : (int)sizeof bytes)) >
         0) {
    forward(bytes, (size_t)n);
    if (piece < sizeof bytes)
      loop_turn(loop, false);
  }
  loop_turn(loop, false);
  ssize_t got;
  while ((got = recv(client_fd, bytes, sizeof bytes, 0)) > 0)
    BIO_write(to_server, bytes, (int)got);
}

static void connect_with(const char *suite, int version, SSL_SESSION *session) {
  int pair[2];
  cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
  client_fd = pair[1];
  server_ready = server_ended = false;
  cr_assert_eq(transport_open(&server, loop, pair[0], tls_context_accept(context), false, &events),
               OK);
  client_context = SSL_CTX_new(TLS_client_method());
  cr_assert(SSL_CTX_set_max_proto_version(client_context, version));
  if (suite)
    cr_assert(SSL_CTX_set_ciphersuites(client_context, suite));
  client = SSL_new(client_context);
  if (session)
    SSL_set_session(client, session);
  SSL_set_connect_state(client);
  to_server = BIO_new(BIO_s_mem()), from_server = BIO_new(BIO_s_mem());
  SSL_set_bio(client, to_server, from_server);
  for (int i = 0; i < TURNS_MAX && !(server_ready && SSL_is_init_finished(client)); i++) {
    SSL_do_handshake(client);
    pump(SIZE_MAX);
  }
  cr_assert(server_ready);
}

static void connect_client(const char *suite, int version) {
  connect_with(suite, version, NULL);
}

static void leave(void) {
  transport_close(&server, false);
  SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* its session stays good */
  SSL_free(client);
  SSL_CTX_free(client_context);
  close(client_fd);
  ERR_clear_error();
}

static void write_all(const char *bytes, size_t n) {
  size_t written;
  cr_assert_eq(SSL_write_ex(client, bytes, n, &written), 1);
  cr_assert_eq(written, n);
}

static void read_all(char *to, size_t n, size_t piece) {
  size_t have = 0;
  for (int i = 0; i < TURNS_MAX && have < n; i++) {
    pump(piece);
    size_t got = 0;
    if (SSL_read_ex(client, to + have, n - have, &got) == 1)
      have += got;
    else
      cr_assert_eq(SSL_get_error(client, 0), SSL_ERROR_WANT_READ);
  }
  cr_assert_eq(have, n);
}

/* n bytes there and back. */
static void echo(size_t n, size_t piece) {
  static char bytes[BULK_BYTES], back[BULK_BYTES];
  for (size_t i = 0; i < n; i++)
    bytes[i] = (char)(i * 7 + i / 251 + n);
  write_all(bytes, n);
  read_all(back, n, piece);
  cr_assert(memcmp(bytes, back, n) == 0);
}

/* What the client reads when it is told why the server ends. */
static int alert_read(void) {
  char byte;
  for (int i = 0; i < TURNS_MAX; i++) {
    pump(SIZE_MAX);
    ERR_clear_error();
    int n = SSL_read(client, &byte, 1);
    int error = SSL_get_error(client, n);
    if (error == SSL_ERROR_SSL)
      return ERR_GET_REASON(ERR_peek_last_error()) - SSL_AD_REASON_OFFSET;
    if (error == SSL_ERROR_ZERO_RETURN)
      return SSL_AD_CLOSE_NOTIFY;
  }
  return -1;
}

static void setup(void) {
  cr_assert(mkdtemp(directory));
  struct selfsign_paths paths;
  struct buf why = BUF_INIT(4096);
  char name[] = "localhost", *names[] = {name, NULL};
  cr_assert_eq(selfsign_ensure(directory, names, &paths, &why), OK);
  struct tls_pair pair = {paths.certificate, paths.key};
  struct tls_settings settings = {.pairs = &pair, .pair_count = 1, .min_version = "1.2"};
  cr_assert_eq(tls_context_new(&settings, &context, &why), OK);
  buf_free(&why);
  loop = loop_new(CHUNKS_BYTES);
  cr_assert(loop);
}

static void teardown(void) {
  loop_free(loop);
  tls_context_free(context);
  char command[sizeof directory + 16];
  snprintf(command, sizeof command, "rm -r %s", directory);
  cr_assert_eq(system(command), 0);
}

TestSuite(records, .init = setup, .fini = teardown);

static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                     "TLS_CHACHA20_POLY1305_SHA256"};

Test(records, every_suite_is_taken_over) {
  for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
    connect_client(suites[i], TLS1_3_VERSION);
    cr_assert(server.records && !server.ssl, "%s", suites[i]);
    const size_t sizes[] = {1, 2, 15, 16, 17, 1000, 16383, 16384, 16385, 65536, BULK_BYTES};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
      echo(sizes[n], SIZE_MAX);
    leave();
  }
}

Test(records, what_is_not_ours_stays_with_openssl) {
  connect_client(NULL, TLS1_2_VERSION);
  cr_assert(server.ssl && !server.records);
  echo(BULK_BYTES, SIZE_MAX);
  leave();
}

Test(records, a_record_may_come_in_any_pieces) {
  connect_client(NULL, TLS1_3_VERSION);
  for (size_t piece = 1; piece <= 30; piece++)
    echo(50, piece);
  echo(16384, 999);
  echo(40000, 4095);
  leave();
}

Test(records, keys_are_updated_both_ways) {
  for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
    connect_client(suites[i], TLS1_3_VERSION);
    for (int n = 0; n < 100; n++) {
      cr_assert_eq(
          SSL_key_update(client, n % 3 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
          1);
      cr_assert_eq(SSL_do_handshake(client), 1);
      echo(1 + (size_t)n * 37, n % 2 ? 3 : SIZE_MAX);
    }
    leave();
  }
}

Test(records, who_only_updates_keys_is_cut_off) {
  connect_client(NULL, TLS1_3_VERSION);
  for (int n = 0; n <= RECORDS_IDLE_MAX; n++) {
    cr_assert(!server_ended, "after %d", n);
    cr_assert_eq(SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    cr_assert_eq(SSL_do_handshake(client), 1);
    pump(SIZE_MAX);
  }
  cr_assert(server_ended && server_end == TRANSPORT_TLS_FAILED);
  cr_assert_eq(alert_read(), SSL_AD_UNEXPECTED_MESSAGE);
  leave();
}

Test(records, leave_is_taken_both_ways) {
  connect_client(NULL, TLS1_3_VERSION);
  echo(10, SIZE_MAX);
  SSL_shutdown(client);
  pump(SIZE_MAX);
  cr_assert(server_ended && server_end == TRANSPORT_EOF);
  leave();
  connect_client(NULL, TLS1_3_VERSION);
  transport_finish(&server);
  cr_assert_eq(alert_read(), SSL_AD_CLOSE_NOTIFY);
  leave();
  connect_client(NULL, TLS1_3_VERSION);
  shutdown(client_fd, SHUT_WR); /* without it */
  pump(SIZE_MAX);
  cr_assert(server_ended && server_end == TRANSPORT_CUT);
  leave();
}

/* Bytes that are not what the client's keys would seal. */
static void expect_refusal(const char *bytes, size_t n, int alert) {
  connect_client(NULL, TLS1_3_VERSION);
  echo(10, SIZE_MAX);
  forward(bytes, n);
  cr_assert_eq(alert_read(), alert);
  cr_assert(server_ended && server_end == TRANSPORT_TLS_FAILED);
  leave();
}

Test(records, bad_records_are_told_why) {
  static const char forged[5 + 32] = {23, 3, 3, 0, 32}, empty[5 + 16] = {23, 3, 3, 0, 16};
  static const char clear_alert[7] = {21, 3, 3, 0, 2, 1, 0}, change[6] = {20, 3, 3, 0, 1, 1};
  static const char large[5] = {23, 3, 3, 0x41, 0x01};
  expect_refusal(forged, sizeof forged, SSL_AD_BAD_RECORD_MAC);
  expect_refusal(empty, sizeof empty, SSL_AD_BAD_RECORD_MAC);
  expect_refusal(clear_alert, sizeof clear_alert, SSL_AD_UNEXPECTED_MESSAGE);
  expect_refusal(change, sizeof change, SSL_AD_UNEXPECTED_MESSAGE);
  expect_refusal(large, sizeof large, SSL_AD_RECORD_OVERFLOW);
}

Test(records, a_changed_bit_is_noticed_wherever_it_is) {
  char wire[256];
  for (int at = 5; at < 5 + 10 + 1 + 16; at++) {
    connect_client(NULL, TLS1_3_VERSION);
    write_all("0123456789", 10);
    int n = BIO_read(from_server, wire, sizeof wire);
    cr_assert_eq(n, 5 + 10 + 1 + 16);
    wire[at] ^= 1;
    forward(wire, (size_t)n);
    cr_assert_eq(alert_read(), SSL_AD_BAD_RECORD_MAC, "at %d", at);
    leave();
  }
}

/* Both ends of one connection without a socket: for what OpenSSL's client would not send. */
static struct ciphers *ciphers;
static struct records *here, *there;

static void ends_make(void) {
  struct traffic t = {.suite = 0x1301, .in_len = 32, .out_len = 32}, mirrored;
  memset(t.in, 1, sizeof t.in);
  memset(t.out, 2, sizeof t.out);
  mirrored = t;
  memcpy(mirrored.in, t.out, sizeof t.out);
  memcpy(mirrored.out, t.in, sizeof t.in);
  ciphers = ciphers_new();
  here = records_new(ciphers, &t);
  there = records_new(ciphers, &mirrored);
  cr_assert(here && there);
}

static void ends_free(void) {
  records_free(ciphers, here);
  records_free(ciphers, there);
  ciphers_free(ciphers);
}

static enum err send_over(enum record_type type, struct slice text, size_t *len,
                          enum record_alert *alert) {
  static char wire[RECORD_TEXT_BYTES_MAX + RECORD_MORE_BYTES], plain[RECORD_OPEN_BYTES_MAX];
  size_t n = records_seal(ciphers, there, type, text, SLICE_NONE, wire);
  cr_assert(n > text.len);
  struct slice raw = slice_of(wire, n);
  return records_read(ciphers, here, &raw, plain, len, alert);
}

Test(records, messages_and_alerts) {
  const struct {
    enum record_type type;
    struct slice text;
    enum err e;
    enum record_alert alert;
  } cases[] = {
      {RECORD_HANDSHAKE, SLICE("\x18\0\0\1\2"), ERR_TLS, ALERT_ILLEGAL_PARAMETER},
      {RECORD_HANDSHAKE, SLICE("\x18\0\0\1"), ERR_TLS, ALERT_DECODE_ERROR},
      {RECORD_HANDSHAKE, SLICE("\x18\0\0\2\0\0"), ERR_TLS, ALERT_DECODE_ERROR},
      {RECORD_HANDSHAKE, SLICE("\x04\0\0\0"), ERR_TLS, ALERT_UNEXPECTED_MESSAGE},
      {RECORD_HANDSHAKE, SLICE(""), ERR_TLS, ALERT_UNEXPECTED_MESSAGE},
      {RECORD_HANDSHAKE, SLICE("\x18\0\0\1\1"), OK, 0},
      {RECORD_ALERT, SLICE("\1\0"), ERR_CLOSED, 0},
      {RECORD_ALERT, SLICE("\2\x14"), ERR_TLS, ALERT_CLOSE_NOTIFY},
      {RECORD_ALERT, SLICE("\1\x5a"), OK, 0},
      {RECORD_ALERT, SLICE("\1"), ERR_TLS, ALERT_DECODE_ERROR},
      {20, SLICE("\1"), ERR_TLS, ALERT_UNEXPECTED_MESSAGE},
      {RECORD_DATA, SLICE(""), OK, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ends_make();
    size_t len;
    enum record_alert alert = ALERT_INTERNAL_ERROR;
    enum err e = send_over(cases[i].type, cases[i].text, &len, &alert);
    cr_assert_eq(e, cases[i].e, "case %zu", i);
    cr_assert(e != ERR_TLS || alert == cases[i].alert, "case %zu", i);
    cr_assert_eq(len, 0);
    ends_free();
  }
}

Test(records, empty_ones_have_an_end) {
  ends_make();
  size_t len;
  enum record_alert alert;
  for (int i = 0; i < RECORDS_IDLE_MAX; i++)
    cr_assert_eq(send_over(RECORD_DATA, SLICE_NONE, &len, &alert), OK);
  cr_assert_eq(send_over(RECORD_DATA, SLICE("x"), &len, &alert), OK);
  cr_assert_eq(len, 1);
  for (int i = 0; i < RECORDS_IDLE_MAX; i++)
    cr_assert_eq(send_over(RECORD_DATA, SLICE_NONE, &len, &alert), OK);
  cr_assert_eq(send_over(RECORD_DATA, SLICE_NONE, &len, &alert), ERR_TLS);
  cr_assert_eq(alert, ALERT_UNEXPECTED_MESSAGE);
  ends_free();
}

/* RFC 8446, 5.4: as many zeros behind the type as a record holds. */
Test(records, padding_is_no_text) {
  ends_make();
  size_t len;
  enum record_alert alert;
  static char text[RECORD_TEXT_BYTES_MAX];
  cr_assert_eq(send_over(0, SLICE("hello\x17\0\0\0\0"), &len, &alert), OK);
  cr_assert_eq(len, 5);
  cr_assert_eq(send_over(0, slice_of(text, sizeof text), &len, &alert), ERR_TLS); /* nothing but */
  cr_assert_eq(alert, ALERT_UNEXPECTED_MESSAGE);
  ends_free();
}

/* The count that OpenSSL tells is that of all records, whatever they carry: a session that is
 * resumed gets another ticket, and one whose client has no use for tickets gets none. */
Test(records, tickets_are_counted) {
  connect_client(NULL, TLS1_3_VERSION);
  echo(10, SIZE_MAX);
  SSL_SESSION *session = SSL_get1_session(client);
  cr_assert(SSL_SESSION_is_resumable(session));
  leave();
  connect_with(NULL, TLS1_3_VERSION, session);
  cr_assert(SSL_session_reused(client));
  echo(1000, SIZE_MAX);
  SSL_SESSION_free(session);
  leave();
}

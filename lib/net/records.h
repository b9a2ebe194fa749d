/* The record layer of TLS 1.3 once the handshake is done (RFC 8446, 5): what a connection needs
 * then is two keys and two counters, some 300 bytes, where the library's own object stays at 13 KB.
 * Handshakes and all cryptography are OpenSSL's; this takes the traffic secrets over from it, seals
 * and opens records, and follows key updates (4.6.3).
 *
 * One thread's connections share the thread's ciphers, which hold one key at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct ciphers;
struct records;

enum {
  RECORD_SECRET_BYTES_MAX = 48,
  RECORD_TEXT_BYTES_MAX = 16384, /* of one record (RFC 8446, 5.1) */
  RECORD_OPEN_BYTES_MAX = 16640, /* the same with its padding (5.2) */
  RECORD_MORE_BYTES = 49,        /* records_seal: beyond the text */
  RECORDS_IDLE_MAX = 32,         /* in a row without data: the peer only wants to keep us busy */
};

/* Content types (RFC 8446, 5.1) and those alerts (6) that are sent or told apart. */
enum record_type { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, RECORD_DATA = 23 };
enum record_alert {
  ALERT_CLOSE_NOTIFY = 0,
  ALERT_UNEXPECTED_MESSAGE = 10,
  ALERT_BAD_RECORD_MAC = 20,
  ALERT_RECORD_OVERFLOW = 22,
  ALERT_ILLEGAL_PARAMETER = 47,
  ALERT_DECODE_ERROR = 50,
  ALERT_INTERNAL_ERROR = 80,
  ALERT_USER_CANCELED = 90,
};

/* What a handshake leaves: client_ and server_application_traffic_secret_0 (RFC 8446, 7.1), as in
 * and out, and how many records have gone under either. The suite's number is that of B.4. */
struct traffic {
  uint16_t suite;
  uint8_t in[RECORD_SECRET_BYTES_MAX], out[RECORD_SECRET_BYTES_MAX];
  size_t in_len, out_len;
  uint64_t in_records, out_records;
};

/* NULL: no memory. */
struct ciphers *ciphers_new(void);
/* Accepts NULL; returns NULL. */
struct ciphers *ciphers_free(struct ciphers *c);

/* AES-GCM with 128 or 256 bits, ChaCha20-Poly1305. Copies what it needs. NULL: another suite, or no
 * memory. */
struct records *records_new(struct ciphers *c, const struct traffic *t);
/* Zeroes the keys. Accepts NULL; returns NULL. */
struct records *records_free(struct ciphers *c, struct records *r);

/* Opens the next record of *raw, which moves behind it: *len bytes of data in `to`, which has room
 * for RECORD_OPEN_BYTES_MAX; none of a record that had something else in it. ERR_AGAIN: *raw ends
 * within a record, and what there is of it is kept. ERR_CLOSED: close_notify. ERR_TLS: the
 * connection cannot go on; *alert is what to tell the peer, or ALERT_CLOSE_NOTIFY when it was the
 * peer that gave up. */
enum err records_read(struct ciphers *c, struct records *r, struct slice *raw, char *to,
                      size_t *len, enum record_alert *alert) MUST_CHECK;
/* Seals both texts, together at most RECORD_TEXT_BYTES_MAX, as one record at `to`, which has room
 * for them and RECORD_MORE_BYTES; a key update that is due goes before it. Returns the bytes
 * written; 0: it failed. */
size_t records_seal(struct ciphers *c, struct records *r, enum record_type type, struct slice first,
                    struct slice second, char *to);

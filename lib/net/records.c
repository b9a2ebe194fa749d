#include "lib/net/records.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

enum {
  HEAD_BYTES = 5,
  TAG_BYTES = 16,
  IV_BYTES = 12,
  KEY_BYTES_MAX = 32,
  WIRE_TEXT_BYTES_MAX = RECORD_TEXT_BYTES_MAX + 256, /* RFC 8446, 5.2 */
  KEY_UPDATE_BYTES = 5,
  KEY_UPDATE = 24, /* RFC 8446, 4 */
  SUITES = 3,
  HASHES = 2,
  INFO_BYTES_MAX = 32, /* HkdfLabel with the longest label here (RFC 8446, 7.1) */
};

/* AES-GCM is good for 2^24.5 full records under one key (RFC 8446, 5.5). */
static const uint64_t records_a_key = UINT64_C(1) << 24;

static const struct suite {
  uint16_t number;
  const char *cipher;
  size_t key_bytes;
  int hash; /* index of `hashes` */
} suites[SUITES] = {
    {0x1301, "AES-128-GCM", 16, 0},
    {0x1302, "AES-256-GCM", 32, 1},
    {0x1303, "ChaCha20-Poly1305", 32, 0},
};

static const struct hash {
  const char *name;
  size_t bytes;
} hashes[HASHES] = {{"SHA256", 32}, {"SHA384", 48}};

enum way { WAY_IN, WAY_OUT, WAYS };

struct ciphers {
  EVP_CIPHER *ciphers[SUITES];
  EVP_CIPHER_CTX *contexts[SUITES][WAYS];
  uint64_t keyed[SUITES][WAYS]; /* `id` of the key in the context; 0: none */
  uint64_t keys_made;
  EVP_MAC *hmac;
  EVP_MAC_CTX *macs[HASHES];
};

/* One way of a connection. */
struct side {
  uint64_t id, sequence;
  uint8_t secret[RECORD_SECRET_BYTES_MAX], key[KEY_BYTES_MAX], iv[IV_BYTES];
};

struct records {
  struct side sides[WAYS];
  char *partial; /* a record that has come in part: its head, or once that is there room for all */
  uint32_t partial_len;
  uint8_t suite; /* index of `suites` */
  uint8_t idle;
  bool update_due;
};

static bool mac_make(struct ciphers *c, int hash) {
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)hashes[hash].name, 0),
      OSSL_PARAM_construct_end(),
  };
  c->macs[hash] = EVP_MAC_CTX_new(c->hmac);
  return c->macs[hash] && EVP_MAC_CTX_set_params(c->macs[hash], params) == 1;
}

struct ciphers *ciphers_new(void) {
  struct ciphers *c = calloc(1, sizeof *c);
  if (!c)
    return NULL;
  bool good = (c->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL)) != NULL;
  for (int i = 0; good && i < HASHES; i++)
    good = mac_make(c, i);
  for (int i = 0; good && i < SUITES; i++)
    good = (c->ciphers[i] = EVP_CIPHER_fetch(NULL, suites[i].cipher, NULL)) != NULL;
  return good ? c : ciphers_free(c);
}

struct ciphers *ciphers_free(struct ciphers *c) {
  if (!c)
    return NULL;
  for (int i = 0; i < SUITES; i++) {
    for (int way = 0; way < WAYS; way++)
      EVP_CIPHER_CTX_free(c->contexts[i][way]);
    EVP_CIPHER_free(c->ciphers[i]);
  }
  for (int i = 0; i < HASHES; i++)
    EVP_MAC_CTX_free(c->macs[i]);
  EVP_MAC_free(c->hmac);
  free(c);
  return NULL;
}

static int suite_find(uint16_t number) {
  for (int i = 0; i < SUITES; i++)
    if (suites[i].number == number)
      return i;
  return -1;
}

/* HKDF-Expand-Label without context, for no more than one block (RFC 8446, 7.1; RFC 5869, 2.3). */
static bool expand(struct ciphers *c, int hash, const uint8_t *secret, const char *label,
                   uint8_t *to, size_t len) {
  uint8_t info[INFO_BYTES_MAX], block[RECORD_SECRET_BYTES_MAX];
  size_t label_len = strlen(label), n = 0;
  info[n++] = (uint8_t)(len >> 8);
  info[n++] = (uint8_t)len;
  info[n++] = (uint8_t)(6 + label_len);
  memcpy(info + n, "tls13 ", 6);
  memcpy(info + n + 6, label, label_len);
  n += 6 + label_len;
  info[n++] = 0; /* no context */
  info[n++] = 1; /* the first block */
  size_t got = 0;
  bool good = EVP_MAC_init(c->macs[hash], secret, hashes[hash].bytes, NULL) == 1 &&
              EVP_MAC_update(c->macs[hash], info, n) == 1 &&
              EVP_MAC_final(c->macs[hash], block, &got, sizeof block) == 1 && got >= len;
  if (good)
    memcpy(to, block, len);
  OPENSSL_cleanse(block, sizeof block);
  return good;
}

static bool keys_make(struct ciphers *c, const struct records *r, struct side *s) {
  static const uint8_t none[RECORD_SECRET_BYTES_MAX];
  const struct suite *suite = &suites[r->suite];
  s->id = ++c->keys_made;
  s->sequence = 0;
  return expand(c, suite->hash, s->secret, "key", s->key, suite->key_bytes) &&
         expand(c, suite->hash, s->secret, "iv", s->iv, IV_BYTES) &&
         EVP_MAC_init(c->macs[suite->hash], none, hashes[suite->hash].bytes, NULL) ==
             1; /* forgets */
}

static bool keys_update(struct ciphers *c, const struct records *r, struct side *s) {
  int hash = suites[r->suite].hash;
  return expand(c, hash, s->secret, "traffic upd", s->secret, hashes[hash].bytes) &&
         keys_make(c, r, s);
}

struct records *records_new(struct ciphers *c, const struct traffic *t) {
  int suite = suite_find(t->suite);
  if (suite < 0)
    return NULL;
  size_t bytes = hashes[suites[suite].hash].bytes;
  struct records *r = t->in_len == bytes && t->out_len == bytes ? calloc(1, sizeof *r) : NULL;
  if (!r)
    return NULL;
  r->suite = (uint8_t)suite;
  memcpy(r->sides[WAY_IN].secret, t->in, bytes);
  memcpy(r->sides[WAY_OUT].secret, t->out, bytes);
  if (!keys_make(c, r, &r->sides[WAY_IN]) || !keys_make(c, r, &r->sides[WAY_OUT]))
    return records_free(c, r);
  r->sides[WAY_IN].sequence = t->in_records;
  r->sides[WAY_OUT].sequence = t->out_records;
  return r;
}

static void partial_free(struct records *r) {
  free(r->partial);
  r->partial = NULL;
  r->partial_len = 0;
}

struct records *records_free(struct ciphers *c, struct records *r) {
  if (!r)
    return NULL;
  for (int way = 0; way < WAYS; way++) {
    if (c->keyed[r->suite][way] != r->sides[way].id)
      continue;
    EVP_CIPHER_CTX_reset(c->contexts[r->suite][way]); /* zeroes its key */
    c->keyed[r->suite][way] = 0;
  }
  partial_free(r);
  OPENSSL_cleanse(r, sizeof *r);
  free(r);
  return NULL;
}

static EVP_CIPHER_CTX *context_take(struct ciphers *c, int suite, enum way way) {
  EVP_CIPHER_CTX **context = &c->contexts[suite][way];
  if (!*context)
    *context = EVP_CIPHER_CTX_new();
  return *context;
}

/* A context with this way's key, and the nonce of its next record (RFC 8446, 5.3); NULL: no memory.
 */
static EVP_CIPHER_CTX *context_for(struct ciphers *c, struct records *r, enum way way) {
  struct side *s = &r->sides[way];
  uint8_t nonce[IV_BYTES];
  memcpy(nonce, s->iv, IV_BYTES);
  for (int i = 0; i < 8; i++)
    nonce[IV_BYTES - 1 - i] ^= (uint8_t)(s->sequence >> (8 * i));
  EVP_CIPHER_CTX *context = context_take(c, r->suite, way);
  bool fresh = c->keyed[r->suite][way] != s->id;
  c->keyed[r->suite][way] = 0; /* should it fail, nobody's key is in it */
  if (!context || EVP_CipherInit_ex2(context, fresh ? c->ciphers[r->suite] : NULL,
                                     fresh ? s->key : NULL, nonce, way == WAY_OUT, NULL) != 1)
    return NULL;
  c->keyed[r->suite][way] = s->id;
  s->sequence++;
  return context;
}

/* `to`: the head, then len bytes of inner text with their type at the end; sealed where they are.
 */
static bool seal(struct ciphers *c, struct records *r, uint8_t *to, size_t len) {
  uint8_t *text = to + HEAD_BYTES;
  size_t wire = len + TAG_BYTES;
  to[0] = RECORD_DATA;
  to[1] = to[2] = 3; /* legacy_record_version (RFC 8446, 5.2) */
  to[3] = (uint8_t)(wire >> 8);
  to[4] = (uint8_t)wire;
  EVP_CIPHER_CTX *x = context_for(c, r, WAY_OUT);
  int n;
  return x && EVP_EncryptUpdate(x, NULL, &n, to, HEAD_BYTES) == 1 &&
         EVP_EncryptUpdate(x, text, &n, text, (int)len) == 1 &&
         EVP_EncryptFinal_ex(x, text + n, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, text + len) == 1;
}

static size_t seal_parts(struct ciphers *c, struct records *r, enum record_type type,
                         struct slice first, struct slice second, char *to) {
  char *text = to + HEAD_BYTES;
  if (first.len)
    memcpy(text, first.data, first.len);
  if (second.len)
    memcpy(text + first.len, second.data, second.len);
  size_t len = first.len + second.len;
  text[len++] = (char)type;
  return seal(c, r, (uint8_t *)to, len) ? HEAD_BYTES + len + TAG_BYTES : 0;
}

/* The answer to one that was asked for, or because this key has sealed enough. */
static size_t seal_update(struct ciphers *c, struct records *r, char *to) {
  static const char update[KEY_UPDATE_BYTES] = {KEY_UPDATE, 0, 0, 1, 0};
  size_t n = seal_parts(c, r, RECORD_HANDSHAKE, slice_of(update, sizeof update), SLICE_NONE, to);
  r->update_due = false;
  return n && keys_update(c, r, &r->sides[WAY_OUT]) ? n : 0;
}

size_t records_seal(struct ciphers *c, struct records *r, enum record_type type, struct slice first,
                    struct slice second, char *to) {
  size_t update = 0;
  if (r->update_due || r->sides[WAY_OUT].sequence >= records_a_key) {
    update = seal_update(c, r, to);
    if (!update)
      return 0;
  }
  size_t n = seal_parts(c, r, type, first, second, to + update);
  return n ? update + n : 0;
}

/* How long the record at the start of `in` is with its head; 0: its head has not come. */
static enum err record_bytes(struct slice in, size_t *bytes, enum record_alert *alert) {
  const uint8_t *head = (const uint8_t *)in.data;
  *bytes = 0;
  if (in.len < HEAD_BYTES)
    return OK;
  size_t len = (size_t)head[3] << 8 | head[4];
  *alert = head[0] != RECORD_DATA      ? ALERT_UNEXPECTED_MESSAGE
           : len > WIRE_TEXT_BYTES_MAX ? ALERT_RECORD_OVERFLOW
           : len <= TAG_BYTES          ? ALERT_BAD_RECORD_MAC
                                       : ALERT_CLOSE_NOTIFY;
  *bytes = HEAD_BYTES + len;
  return *alert == ALERT_CLOSE_NOTIFY ? OK : ERR_TLS;
}

/* Moves what is missing to `need` bytes of the partial record from *raw. */
static enum err partial_add(struct records *r, struct slice *raw, size_t need) {
  char *grown = realloc(r->partial, need);
  if (!grown)
    return ERR_MEMORY;
  r->partial = grown;
  size_t missing = need - r->partial_len, n = raw->len < missing ? raw->len : missing;
  memcpy(r->partial + r->partial_len, raw->data, n);
  r->partial_len += (uint32_t)n;
  *raw = slice_skip(*raw, n);
  return OK;
}

/* The next whole record: in *raw, which moves behind it, or in the partial one. */
static enum err record_next(struct records *r, struct slice *raw, struct slice *record,
                            enum record_alert *alert) {
  size_t bytes;
  if (!r->partial) {
    enum err e = record_bytes(*raw, &bytes, alert);
    if (e)
      return e;
    if (bytes && raw->len >= bytes) {
      *record = slice_of(raw->data, bytes);
      *raw = slice_skip(*raw, bytes);
      return OK;
    }
  }
  while (raw->len) {
    struct slice have = slice_of(r->partial, r->partial_len);
    enum err e = record_bytes(have, &bytes, alert);
    if (!e)
      e = partial_add(r, raw, bytes ? bytes : HEAD_BYTES);
    if (e)
      return e;
    if (bytes && r->partial_len == bytes) {
      *record = slice_of(r->partial, bytes);
      return OK;
    }
  }
  return ERR_AGAIN;
}

static bool open_text(struct ciphers *c, struct records *r, struct slice record, char *to) {
  EVP_CIPHER_CTX *x = context_for(c, r, WAY_IN);
  const uint8_t *in = (const uint8_t *)record.data;
  size_t len = record.len - HEAD_BYTES - TAG_BYTES;
  int n;
  return x && EVP_DecryptUpdate(x, NULL, &n, in, HEAD_BYTES) == 1 &&
         EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES,
                             (void *)(in + HEAD_BYTES + len)) == 1 &&
         EVP_DecryptUpdate(x, (uint8_t *)to, &n, in + HEAD_BYTES, (int)len) == 1 &&
         EVP_DecryptFinal_ex(x, (uint8_t *)to + n, &n) == 1;
}

/* A record whose inner text is no more than a message, which must be a key update: a server's
 * clients may send no other after the handshake (RFC 8446, 4.6). */
static enum err message_take(struct ciphers *c, struct records *r, const char *text, size_t len,
                             enum record_alert *alert) {
  if (len == 0 || text[0] != KEY_UPDATE)
    *alert = ALERT_UNEXPECTED_MESSAGE;
  else if (len != KEY_UPDATE_BYTES || text[1] || text[2] || text[3] != 1)
    *alert = ALERT_DECODE_ERROR;
  else if (text[4] != 0 && text[4] != 1)
    *alert = ALERT_ILLEGAL_PARAMETER;
  else if (!keys_update(c, r, &r->sides[WAY_IN]))
    *alert = ALERT_INTERNAL_ERROR;
  else {
    r->update_due |= text[4] == 1;
    return OK;
  }
  return ERR_TLS;
}

static enum err alert_take(const char *text, size_t len, enum record_alert *alert) {
  *alert = len == 2 ? ALERT_CLOSE_NOTIFY : ALERT_DECODE_ERROR;
  if (len == 2 && text[1] == ALERT_CLOSE_NOTIFY)
    return ERR_CLOSED;
  return len == 2 && text[1] == ALERT_USER_CANCELED ? OK : ERR_TLS;
}

/* What an opened record of `len` bytes holds: its type stands behind the text, before any padding.
 */
static enum err text_take(struct ciphers *c, struct records *r, const char *text, size_t len,
                          size_t *data_len, enum record_alert *alert) {
  while (len && text[len - 1] == 0)
    len--;
  bool large = len > RECORD_TEXT_BYTES_MAX + 1;
  *alert = large ? ALERT_RECORD_OVERFLOW : ALERT_UNEXPECTED_MESSAGE;
  if (len == 0 || large)
    return ERR_TLS;
  char type = text[--len];
  *data_len = type == RECORD_DATA ? len : 0;
  r->idle = *data_len ? 0 : r->idle + 1;
  if (r->idle > RECORDS_IDLE_MAX)
    return ERR_TLS;
  if (type == RECORD_ALERT)
    return alert_take(text, len, alert);
  if (type == RECORD_HANDSHAKE)
    return message_take(c, r, text, len, alert);
  return type == RECORD_DATA ? OK : ERR_TLS;
}

enum err records_read(struct ciphers *c, struct records *r, struct slice *raw, char *to,
                      size_t *len, enum record_alert *alert) {
  struct slice record;
  *len = 0;
  enum err e = record_next(r, raw, &record, alert);
  if (e)
    return e;
  *alert = ALERT_BAD_RECORD_MAC;
  e = open_text(c, r, record, to) ? OK : ERR_TLS;
  size_t text_len = record.len - HEAD_BYTES - TAG_BYTES;
  partial_free(r);
  if (e)
    ERR_clear_error(); /* what is left there would be taken for the next one's */
  return e ? e : text_take(c, r, to, text_len, len, alert);
}

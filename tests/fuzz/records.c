/* Records of TLS 1.3 as a client may send them, in any pieces: sealed with the right key but
 * holding anything, or not sealed at all. What is opened is what was sealed, in its turn.
 *
 * The first byte says the suite, the second how long the pieces are. Then parts: a byte of which
 * the lowest bit says whether it is sealed, and the others how many bytes follow; of a sealed part
 * the first is its type. */
#include <assert.h>
#include <string.h>

#include "lib/net/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_BYTES = 64 * 1024, SUITES = 3, FIRST_SUITE = 0x1301 };

static struct ciphers *ciphers;
static char stream[STREAM_BYTES], sent[STREAM_BYTES], opened[RECORD_OPEN_BYTES_MAX];
static size_t stream_len, sent_len, read_len;

static void part_add(struct records *there, bool sealed, struct slice text) {
  if (stream_len + text.len + RECORD_MORE_BYTES > sizeof stream || (sealed && text.len == 0))
    return;
  if (!sealed) {
    memcpy(stream + stream_len, text.data, text.len);
    stream_len += text.len;
    return;
  }
  char type = text.data[0];
  text = slice_skip(text, 1);
  stream_len += records_seal(ciphers, there, (enum record_type)(unsigned char)type, text,
                             SLICE_NONE, stream + stream_len);
  while (type == 0 && text.len) /* padding */
    type = text.data[--text.len];
  if (type == RECORD_DATA) {
    memcpy(sent + sent_len, text.data, text.len);
    sent_len += text.len;
  }
}

static void stream_make(struct records *there, const uint8_t *data, size_t size) {
  stream_len = sent_len = read_len = 0;
  while (size) {
    bool sealed = data[0] & 1;
    size_t n = data[0] >> 1;
    data++, size--;
    n = n < size ? n : size;
    part_add(there, sealed, slice_of((const char *)data, n));
    data += n, size -= n;
  }
}

/* False when the connection cannot go on. */
static bool piece_read(struct records *here, struct slice raw) {
  enum err e;
  do {
    size_t len;
    enum record_alert alert;
    e = records_read(ciphers, here, &raw, opened, &len, &alert);
    assert(e == OK || len == 0);
    assert(read_len + len <= sent_len && memcmp(sent + read_len, opened, len) == 0);
    read_len += len;
  } while (e == OK);
  assert(e != ERR_AGAIN || raw.len == 0);
  return e == ERR_AGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3 || (!ciphers && !(ciphers = ciphers_new())))
    return 0;
  size_t bytes = data[0] % SUITES == 1 ? 48 : 32;
  struct traffic t = {
      .suite = (uint16_t)(FIRST_SUITE + data[0] % SUITES), .in_len = bytes, .out_len = bytes};
  struct traffic mirrored = t;
  t.in[0] = mirrored.out[0] = 1;
  t.out[0] = mirrored.in[0] = 2;
  struct records *here = records_new(ciphers, &t), *there = records_new(ciphers, &mirrored);
  assert(here && there);
  stream_make(there, data + 2, size - 2);
  size_t piece = data[1] ? data[1] : sizeof stream;
  bool goes_on = true;
  for (size_t at = 0; goes_on && at < stream_len; at += piece) {
    size_t n = stream_len - at < piece ? stream_len - at : piece;
    goes_on = piece_read(here, slice_of(stream + at, n));
  }
  records_free(ciphers, here);
  records_free(ciphers, there);
  return 0;
}

#include "lib/net/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "lib/base/utf8.h"

/* What has come of a literal that must stand first. */
static enum err literal(struct slice in, struct slice expected) {
  size_t n = in.len < expected.len ? in.len : expected.len;
  if (n && memcmp(in.data, expected.data, n) != 0)
    return ERR_SYNTAX;
  return in.len < expected.len ? ERR_AGAIN : OK;
}

/* Up to the next blank, or the end; an empty word is none. */
static bool word_next(struct slice *rest, struct slice *word) {
  const char *blank = rest->len ? memchr(rest->data, ' ', rest->len) : NULL;
  *word = slice_of(rest->data, blank ? (size_t)(blank - rest->data) : rest->len);
  *rest = slice_skip(*rest, word->len + (blank != NULL));
  return word->len && (!blank || rest->len);
}

static bool port_read(struct slice s, in_port_t *port) {
  long long n;
  if (s.len > 5 || !slice_decimal(s, &n) || n > 65535 || (s.len > 1 && s.data[0] == '0'))
    return false;
  *port = htons((uint16_t)n);
  return true;
}

static bool host_read(int family, struct slice s, void *to) {
  char text[INET6_ADDRSTRLEN];
  if (s.len >= sizeof text || memchr(s.data, 0, s.len))
    return false;
  memcpy(text, s.data, s.len);
  text[s.len] = 0;
  return inet_pton(family, text, to) == 1;
}

static void *host_of(struct sockaddr_storage *a) {
  return a->ss_family == AF_INET ? (void *)&((struct sockaddr_in *)a)->sin_addr
                                 : (void *)&((struct sockaddr_in6 *)a)->sin6_addr;
}

static in_port_t *port_of(struct sockaddr_storage *a) {
  return a->ss_family == AF_INET ? &((struct sockaddr_in *)a)->sin_port
                                 : &((struct sockaddr_in6 *)a)->sin6_port;
}

static void family_set(struct proxy_header *h, int family) {
  h->source.ss_family = h->destination.ss_family = (sa_family_t)family;
}

static bool v1_addresses(struct slice rest, struct proxy_header *h) {
  struct slice from, to, from_port, to_port;
  return word_next(&rest, &from) && word_next(&rest, &to) && word_next(&rest, &from_port) &&
         word_next(&rest, &to_port) && rest.len == 0 &&
         host_read(h->source.ss_family, from, host_of(&h->source)) &&
         host_read(h->source.ss_family, to, host_of(&h->destination)) &&
         port_read(from_port, port_of(&h->source)) && port_read(to_port, port_of(&h->destination));
}

/* "PROXY TCP4 FROM TO PORT PORT" or "PROXY UNKNOWN" and whatever follows (2.1). */
static enum err v1_line(struct slice line, struct proxy_header *h) {
  struct slice word;
  struct slice rest = slice_skip(line, 6);
  if (slice_equal(rest, SLICE("UNKNOWN")) || slice_starts(rest, SLICE("UNKNOWN "))) {
    h->local = true;
    return OK;
  }
  if (!word_next(&rest, &word))
    return ERR_SYNTAX;
  if (slice_equal(word, SLICE("TCP4")))
    family_set(h, AF_INET);
  else if (slice_equal(word, SLICE("TCP6")))
    family_set(h, AF_INET6);
  else
    return ERR_SYNTAX;
  return v1_addresses(rest, h) ? OK : ERR_SYNTAX;
}

static enum err v1_read(struct slice in, struct proxy_header *h) {
  enum err e = literal(in, SLICE("PROXY "));
  if (e)
    return e;
  size_t most = in.len < PROXY_V1_BYTES_MAX ? in.len : PROXY_V1_BYTES_MAX;
  const char *cr = memchr(in.data, '\r', most), *lf = memchr(in.data, '\n', most);
  if (lf && (!cr || lf != cr + 1))
    return ERR_SYNTAX;
  if (!lf)
    return most == PROXY_V1_BYTES_MAX || (cr && cr != in.data + most - 1) ? ERR_SYNTAX : ERR_AGAIN;
  h->version = 1;
  h->len = (size_t)(lf + 1 - in.data);
  return v1_line(slice_of(in.data, h->len - 2), h);
}

/* Version 2: signature, version and command, family, length (2.2). */
enum {
  V2_HEAD_BYTES = 16,
  V2_CRC_BYTES = 4,
  V2_LOCAL = 0,
  V2_PROXY = 1,
  SSL_HEAD_BYTES = 5,
  SSL_CLIENT = 0x01, /* over TLS */
};
static const struct slice v2_signature = {"\r\n\r\n\0\r\nQUIT\n", 12};

static unsigned byte_at(struct slice s, size_t at) {
  return (unsigned char)s.data[at];
}

static size_t short_at(struct slice s, size_t at) {
  return byte_at(s, at) << 8 | byte_at(s, at + 1);
}

static uint32_t long_at(struct slice s, size_t at) {
  return (uint32_t)(short_at(s, at) << 16 | short_at(s, at + 2));
}

bool proxy_tlv_next(struct slice *rest, uint8_t *type, struct slice *value) {
  if (rest->len < 3 || short_at(*rest, 1) > rest->len - 3)
    return false;
  *type = (uint8_t)byte_at(*rest, 0);
  *value = slice_of(rest->data + 3, short_at(*rest, 1));
  *rest = slice_skip(*rest, value->len + 3);
  return true;
}

/* RFC 3720, B.4: reflected, polynomial 0x1edc6f41. */
static uint32_t crc32c(uint32_t crc, struct slice s) {
  for (size_t i = 0; i < s.len; i++) {
    crc ^= byte_at(s, i);
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return crc;
}

/* The checksum is of the whole header, itself being zero (2.2.3). */
static bool checksum_is(struct slice header, struct slice value) {
  size_t before = (size_t)(value.data - header.data);
  uint32_t crc = crc32c(UINT32_MAX, slice_of(header.data, before));
  crc = crc32c(crc, SLICE("\0\0\0\0"));
  crc = crc32c(crc, slice_skip(header, before + V2_CRC_BYTES));
  return ~crc == long_at(value, 0);
}

static bool is_printable(struct slice s) {
  for (size_t i = 0; i < s.len; i++)
    if (byte_at(s, i) <= 0x20 || byte_at(s, i) >= 0x7f)
      return false;
  return true;
}

static bool is_text(struct slice s) {
  size_t n;
  for (; s.len && s.data[0]; s = slice_skip(s, n))
    if (!(n = utf8_length(s)))
      return false;
  return s.len == 0;
}

/* Said once, and within its limit. */
static bool note(struct slice *to, struct slice value, size_t most) {
  if (to->data || value.len == 0 || value.len > most)
    return false;
  *to = value;
  return true;
}

/* The client's TLS, and TLVs inside it (2.2.6). */
static bool ssl_read(struct slice value, struct proxy_header *h) {
  if (value.len < SSL_HEAD_BYTES)
    return false;
  unsigned client = byte_at(value, 0);
  h->tls = client & SSL_CLIENT;
  struct slice rest = slice_skip(value, SSL_HEAD_BYTES), one;
  uint8_t type;
  while (proxy_tlv_next(&rest, &type, &one)) {
    if ((type == PROXY_TLV_SSL_VERSION &&
         !(is_printable(one) && note(&h->tls_version, one, PROXY_NAME_BYTES_MAX))) ||
        (type == PROXY_TLV_SSL_CN &&
         !(is_text(one) && note(&h->tls_cn, one, PROXY_NAME_BYTES_MAX))))
      return false;
  }
  return rest.len == 0;
}

static bool aws_read(struct slice value, struct proxy_header *h) {
  if (value.len == 0 || byte_at(value, 0) != PROXY_AWS_VPCE_ID)
    return value.len != 0;
  struct slice id = slice_skip(value, 1);
  return is_printable(id) && note(&h->aws_vpce_id, id, PROXY_NAME_BYTES_MAX);
}

struct tlv_once {
  bool crc, ssl;
};

static bool tlv_read(struct slice header, uint8_t type, struct slice value, struct tlv_once *once,
                     struct proxy_header *h) {
  switch (type) {
  case PROXY_TLV_ALPN:
    return note(&h->alpn, value, PROXY_NAME_BYTES_MAX);
  case PROXY_TLV_AUTHORITY:
    return is_text(value) && note(&h->authority, value, PROXY_NAME_BYTES_MAX);
  case PROXY_TLV_UNIQUE_ID:
    return note(&h->unique_id, value, PROXY_UNIQUE_ID_BYTES_MAX);
  case PROXY_TLV_AWS:
    return aws_read(value, h);
  case PROXY_TLV_SSL: {
    bool first = !once->ssl;
    once->ssl = true;
    return first && ssl_read(value, h);
  }
  case PROXY_TLV_CRC32C: {
    bool first = !once->crc;
    once->crc = true;
    return first && value.len == V2_CRC_BYTES && checksum_is(header, value);
  }
  default: /* others are passed over (2.2) */
    return true;
  }
}

static enum err tlvs_read(struct slice header, struct proxy_header *h) {
  struct tlv_once once = {false, false};
  struct slice rest = h->tlvs, value;
  uint8_t type;
  while (proxy_tlv_next(&rest, &type, &value))
    if (!tlv_read(header, type, value, &once, h))
      return ERR_SYNTAX;
  return rest.len == 0 ? OK : ERR_SYNTAX;
}

/* Both hosts, then both ports. */
static void v2_internet(const char *at, size_t host_bytes, struct proxy_header *h) {
  memcpy(host_of(&h->source), at, host_bytes);
  memcpy(host_of(&h->destination), at + host_bytes, host_bytes);
  memcpy(port_of(&h->source), at + 2 * host_bytes, 2);
  memcpy(port_of(&h->destination), at + 2 * host_bytes + 2, 2);
}

static void v2_unix(const char *at, struct proxy_header *h) {
  enum { PATH_BYTES = 108 };
  memcpy(((struct sockaddr_un *)&h->source)->sun_path, at, PATH_BYTES);
  memcpy(((struct sockaddr_un *)&h->destination)->sun_path, at + PATH_BYTES, PATH_BYTES);
}

/* The addresses; *bytes is how many they take. */
static enum err v2_addresses(unsigned family, struct slice block, size_t *bytes,
                             struct proxy_header *h) {
  static const struct {
    int family;
    size_t bytes;
  } families[] = {{AF_UNSPEC, 0}, {AF_INET, 12}, {AF_INET6, 36}, {AF_UNIX, 216}};
  unsigned address = family >> 4, transport = family & 15;
  if (address > 3 || transport > 2 || (address == 0) != (transport == 0))
    return ERR_SYNTAX;
  if (transport == 2)
    return ERR_RANGE;
  *bytes = families[address].bytes;
  if (block.len < *bytes)
    return ERR_SYNTAX;
  h->local = address == 0;
  family_set(h, families[address].family);
  if (address == 1)
    v2_internet(block.data, 4, h);
  else if (address == 2)
    v2_internet(block.data, 16, h);
  else if (address == 3)
    v2_unix(block.data, h);
  return OK;
}

static enum err v2_block(struct slice header, struct proxy_header *h) {
  struct slice block = slice_skip(header, V2_HEAD_BYTES);
  size_t bytes;
  if (h->local)
    return OK;
  enum err e = v2_addresses(byte_at(header, 13), block, &bytes, h);
  if (e || h->local)
    return e;
  h->tlvs = slice_skip(block, bytes);
  return tlvs_read(header, h);
}

static enum err v2_read(struct slice in, struct proxy_header *h) {
  enum err e = literal(in, v2_signature);
  if (e)
    return e;
  if (in.len > 12 && (byte_at(in, 12) >> 4 != 2 || (byte_at(in, 12) & 15) > V2_PROXY))
    return ERR_SYNTAX;
  if (in.len < V2_HEAD_BYTES)
    return ERR_AGAIN;
  h->version = 2;
  h->local = (byte_at(in, 12) & 15) == V2_LOCAL;
  h->len = V2_HEAD_BYTES + short_at(in, 14);
  if (h->len > PROXY_V2_BYTES_MAX)
    return ERR_LIMIT;
  if (in.len < h->len)
    return ERR_AGAIN;
  return v2_block(slice_of(in.data, h->len), h);
}

enum err proxy_header_read(struct slice in, struct proxy_header *h) {
  *h = (struct proxy_header){0};
  if (in.len == 0)
    return ERR_AGAIN;
  return in.data[0] == 'P' ? v1_read(in, h) : v2_read(in, h);
}

/* Character classes of RFC 9110 and RFC 3986. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "lib/http/head.h"

enum { TCHAR = 1, TARGET = 2, HOST = 4 };

static unsigned char classes[256];

__attribute__((constructor)) static void make_classes(void) {
  for (int c = 0; c < 256; c++) {
    bool letter = c < 0x80 && isalnum(c);
    if (letter || (c && c < 0x80 && strchr("!#$%&'*+-.^_`|~", c)))
      classes[c] |= TCHAR;
    if (c > 0x20 && c < 0x7f && c != '#')
      classes[c] |= TARGET;
    if (letter || (c && c < 0x80 && strchr("-._~!$&'()*+,;=%", c)))
      classes[c] |= HOST;
  }
}

static bool all(struct slice s, unsigned char class) {
  unsigned char common = class;
  for (size_t i = 0; i < s.len; i++)
    common &= classes[(unsigned char)s.data[i]];
  return common;
}

bool http_is_token(struct slice s) {
  return s.len > 0 && all(s, TCHAR);
}

/* Without a table and without an early end, so that the compiler takes many bytes at once. */
bool http_is_field_value(struct slice s) {
  unsigned char bad = 0;
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.data[i];
    bad |= (unsigned char)(((c < 0x20) & (c != '\t')) | (c == 0x7f));
  }
  return !bad;
}

bool http_is_target(struct slice s) {
  if (slice_equal(s, SLICE("*")))
    return true;
  return s.len > 0 && s.data[0] == '/' && all(s, TARGET);
}

static bool is_port(struct slice s) {
  long long port;
  return s.len == 0 || (s.len <= 5 && slice_decimal(s, &port) && port <= 65535);
}

static bool is_ipv6(struct slice s) {
  char text[INET6_ADDRSTRLEN];
  struct in6_addr address;
  if (s.len >= sizeof text)
    return false;
  *(char *)mempcpy(text, s.data, s.len) = '\0';
  return strlen(text) == s.len && inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_bracketed(struct slice s) {
  const char *end = memchr(s.data, ']', s.len);
  if (!end || !is_ipv6(slice_of(s.data + 1, (size_t)(end - s.data - 1))))
    return false;
  struct slice rest = slice_skip(s, (size_t)(end + 1 - s.data));
  return rest.len == 0 || (rest.data[0] == ':' && is_port(slice_skip(rest, 1)));
}

/* reg-name: an escape is whole (RFC 3986, 2.1). */
static bool is_name(struct slice s) {
  if (s.len == 0 || !all(s, HOST))
    return false;
  const char *end = s.data + s.len, *p = s.data;
  while ((p = memchr(p, '%', (size_t)(end - p)))) {
    if (end - p < 3 || !isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2]))
      return false;
    p += 3;
  }
  return true;
}

bool http_is_authority(struct slice s) {
  if (s.len == 0)
    return false;
  if (s.data[0] == '[')
    return is_bracketed(s);
  const char *colon = memchr(s.data, ':', s.len);
  struct slice host = slice_of(s.data, colon ? (size_t)(colon - s.data) : s.len);
  return is_name(host) && (!colon || is_port(slice_skip(s, host.len + 1)));
}

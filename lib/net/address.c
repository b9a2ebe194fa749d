#include "lib/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "lib/base/slice.h"

static enum err parse_unix(const char *path, struct address *a) {
  struct sockaddr_un *un = (struct sockaddr_un *)&a->storage;
  if (!*path || strlen(path) >= sizeof un->sun_path)
    return *path ? ERR_RANGE : ERR_SYNTAX;
  un->sun_family = AF_UNIX;
  strcpy(un->sun_path, path);
  a->len = sizeof *un;
  return OK;
}

static enum err parse_port(const char *text, in_port_t *port) {
  long long n;
  if (!slice_decimal(slice_str(text), &n))
    return ERR_SYNTAX;
  if (n > 65535)
    return ERR_RANGE;
  *port = htons((uint16_t)n);
  return OK;
}

static enum err parse_ipv6(const char *host, in_port_t port, struct address *a) {
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->storage;
  in6->sin6_family = AF_INET6;
  in6->sin6_port = port;
  a->len = sizeof *in6;
  return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1 ? OK : ERR_SYNTAX;
}

static enum err parse_ipv4(const char *host, in_port_t port, struct address *a) {
  struct sockaddr_in *in = (struct sockaddr_in *)&a->storage;
  in->sin_family = AF_INET;
  in->sin_port = port;
  a->len = sizeof *in;
  return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? OK : ERR_SYNTAX;
}

enum err address_parse(const char *text, struct address *a) {
  memset(a, 0, sizeof *a);
  if (snprintf(a->text, sizeof a->text, "%s", text) >= (int)sizeof a->text)
    return ERR_RANGE;
  if (strncmp(text, "unix:", 5) == 0)
    return parse_unix(text + 5, a);
  char host[ADDRESS_TEXT_BYTES];
  strcpy(host, text);
  char *colon = strrchr(host, ':');
  if (!colon)
    return ERR_SYNTAX;
  *colon = '\0';
  in_port_t port;
  enum err e = parse_port(colon + 1, &port);
  if (e)
    return e;
  size_t n = strlen(host);
  if (n == 0 || strcmp(host, "*") == 0) {
    a->both_families = true;
    return parse_ipv6("::", port, a);
  }
  if (strcmp(host, "localhost") == 0)
    return parse_ipv4("127.0.0.1", port, a);
  if (host[0] != '[')
    return parse_ipv4(host, port, a);
  if (host[n - 1] != ']')
    return ERR_SYNTAX;
  host[n - 1] = '\0';
  return parse_ipv6(host + 1, port, a);
}

/* Without brackets and port. */
static enum err host_alone(struct slice text, struct slice *host) {
  const char *colon = memchr(text.data, ':', text.len), *end = text.data + text.len;
  *host = text;
  if (text.data[0] == '[') {
    const char *bracket = memchr(text.data, ']', text.len);
    *host = slice_of(text.data + 1, bracket ? (size_t)(bracket - text.data - 1) : 0);
    colon = bracket && bracket + 1 < end ? bracket + 1 : NULL;
  } else if (colon && !memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
    host->len = (size_t)(colon - text.data);
  } else {
    colon = NULL;
  }
  long long port;
  if (!colon)
    return OK;
  return *colon == ':' && slice_decimal(slice_of(colon + 1, (size_t)(end - colon - 1)), &port)
             ? OK
             : ERR_SYNTAX;
}

enum err address_host_parse(struct slice text, struct sockaddr_storage *out) {
  struct address a = {0};
  struct slice host;
  char copy[ADDRESS_TEXT_BYTES];
  *out = (struct sockaddr_storage){0};
  out->ss_family = AF_UNIX;
  if (slice_equal(text, SLICE("unix")))
    return OK;
  enum err e = text.len ? host_alone(text, &host) : ERR_SYNTAX;
  if (e || host.len == 0 || host.len >= sizeof copy || memchr(host.data, 0, host.len))
    return ERR_SYNTAX;
  memcpy(copy, host.data, host.len);
  copy[host.len] = '\0';
  e = strchr(copy, ':') ? parse_ipv6(copy, 0, &a) : parse_ipv4(copy, 0, &a);
  *out = a.storage;
  return e;
}

int address_port(const struct sockaddr *sa) {
  if (sa->sa_family == AF_INET)
    return ntohs(((const struct sockaddr_in *)sa)->sin_port);
  if (sa->sa_family == AF_INET6)
    return ntohs(((const struct sockaddr_in6 *)sa)->sin6_port);
  return 0;
}

/* The bytes of an address; those of an IPv4 one mapped into IPv6 are IPv4's. */
static int address_bytes(const struct sockaddr *sa, const unsigned char **bytes) {
  if (sa->sa_family == AF_INET) {
    *bytes = (const unsigned char *)&((const struct sockaddr_in *)sa)->sin_addr;
    return AF_INET;
  }
  if (sa->sa_family != AF_INET6)
    return AF_UNIX;
  const struct in6_addr *in6 = &((const struct sockaddr_in6 *)sa)->sin6_addr;
  bool mapped = IN6_IS_ADDR_V4MAPPED(in6);
  *bytes = in6->s6_addr + (mapped ? 12 : 0);
  return mapped ? AF_INET : AF_INET6;
}

void address_peer_text(const struct sockaddr *sa, char *text, size_t room) {
  const unsigned char *bytes = NULL;
  int family = address_bytes(sa, &bytes);
  if (family == AF_UNIX || !inet_ntop(family, bytes, text, (socklen_t)room))
    snprintf(text, room, "unix");
}

void address_network_key(const struct sockaddr *sa, unsigned char key[ADDRESS_KEY_BYTES]) {
  const unsigned char *bytes = NULL;
  int family = address_bytes(sa, &bytes);
  memset(key, 0, ADDRESS_KEY_BYTES);
  key[0] = (unsigned char)family;
  if (family == AF_INET)
    memcpy(key + 1, bytes, 4);
  else if (family == AF_INET6)
    memcpy(key + 1, bytes, 8);
}

enum err address_range_parse(const char *text, struct address_range *r) {
  memset(r, 0, sizeof *r);
  if (strcmp(text, "unix") == 0) {
    r->family = AF_UNIX;
    return OK;
  }
  char host[ADDRESS_TEXT_BYTES];
  if (snprintf(host, sizeof host, "%s", text) >= (int)sizeof host)
    return ERR_SYNTAX;
  char *slash = strchr(host, '/');
  if (slash)
    *slash++ = '\0';
  r->family = strchr(host, ':') ? AF_INET6 : AF_INET;
  if (inet_pton(r->family, host, r->bytes) != 1)
    return ERR_SYNTAX;
  long long most = r->family == AF_INET ? 32 : 128, bits = most;
  if (slash && !slice_decimal(slice_str(slash), &bits))
    return ERR_SYNTAX;
  r->prefix_bits = (int)bits;
  return bits <= most ? OK : ERR_RANGE;
}

bool address_range_has(const struct address_range *r, const struct sockaddr *sa) {
  const unsigned char *bytes = NULL;
  if (address_bytes(sa, &bytes) != r->family)
    return false;
  if (!bytes)
    return true;
  int whole = r->prefix_bits / 8, rest = r->prefix_bits % 8;
  if (memcmp(bytes, r->bytes, (size_t)whole) != 0)
    return false;
  unsigned char mask = (unsigned char)(0xff << (8 - rest));
  return rest == 0 || (bytes[whole] & mask) == (r->bytes[whole] & mask);
}

/* Socket addresses and their texts: "127.0.0.1:80", "[::1]:80", "localhost:80"
 * (127.0.0.1), "unix:PATH"; for listeners also "*:80" and ":80" (both families).
 * Names are not resolved here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

enum { ADDRESS_TEXT_BYTES = 128, ADDRESS_KEY_BYTES = 32 };

struct address {
  struct sockaddr_storage storage;
  socklen_t len;
  bool both_families;            /* an IPv6 wildcard that takes IPv4 too */
  char text[ADDRESS_TEXT_BYTES]; /* as it was written */
};

/* ERR_SYNTAX: none of the forms; ERR_RANGE: a port outside 1..65535 (0 is for tests:
 * any free one), a path too long. */
enum err address_parse(const char *text, struct address *a) MUST_CHECK;
/* 0 for a Unix socket. */
int address_port(const struct sockaddr *sa);
/* An address as X-Forwarded-For has it: "192.0.2.1", "2001:db8::1", "[2001:db8::1]", either with
 * ":PORT", which is not kept, or "unix". ERR_SYNTAX: none of them. */
enum err address_host_parse(struct slice text, struct sockaddr_storage *out) MUST_CHECK;
/* The numeric address without port; "unix" for a Unix socket. */
void address_peer_text(const struct sockaddr *sa, char *text, size_t room);
/* What tells one client's network from another's: the IPv4 address, the /64 of an
 * IPv6 one. All of `key` is written. */
void address_network_key(const struct sockaddr *sa, unsigned char key[ADDRESS_KEY_BYTES]);

/* "10.0.0.0/8", "::1", "unix": IPv4 also matches as ::ffff:a.b.c.d. */
struct address_range {
  int family; /* AF_INET, AF_INET6, AF_UNIX */
  unsigned char bytes[16];
  int prefix_bits;
};
enum err address_range_parse(const char *text, struct address_range *r) MUST_CHECK;
bool address_range_has(const struct address_range *r, const struct sockaddr *sa);

/* The PROXY protocol, versions 1 and 2: what a load balancer says of a connection before its
 * first byte (haproxy.org, proxy-protocol.txt). Pure: bytes in, facts out; nothing is allocated.
 *
 * Only from peers that are trusted to say it, and there always: whoever accepts it from
 * anybody believes anybody's address.
 *
 * What is refused (ERR_SYNTAX): anything but one of the two signatures, from the first byte that
 * differs; in version 1 an address or port that is not in its plain form, further blanks, a line
 * of more than PROXY_V1_BYTES_MAX; in version 2 unknown versions, commands and families, a length
 * smaller than the addresses, TLVs that do not end with the header, a CRC32C that is wrong,
 * malformed or repeated ones of those looked at. ERR_RANGE: an address family for datagrams.
 * ERR_LIMIT: a header of more than PROXY_V2_BYTES_MAX. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

enum {
  PROXY_V1_BYTES_MAX = 107, /* with its CRLF (2.1) */
  PROXY_V2_BYTES_MAX = 8192,
  PROXY_UNIQUE_ID_BYTES_MAX = 128, /* 2.2.5 */
  PROXY_NAME_BYTES_MAX = 255,      /* of an authority or an endpoint id */
};

enum proxy_tlv_type { /* 2.2 */
                      PROXY_TLV_ALPN = 0x01,
                      PROXY_TLV_AUTHORITY = 0x02,
                      PROXY_TLV_CRC32C = 0x03,
                      PROXY_TLV_NOOP = 0x04,
                      PROXY_TLV_UNIQUE_ID = 0x05,
                      PROXY_TLV_SSL = 0x20,
                      PROXY_TLV_SSL_VERSION = 0x21,
                      PROXY_TLV_SSL_CN = 0x22,
                      PROXY_TLV_NETNS = 0x30,
                      PROXY_TLV_AWS =
                          0xea, /* AWS PrivateLink; its first byte is a type of its own: */
                      PROXY_AWS_VPCE_ID = 0x01,
};

struct proxy_header {
  int version; /* 1 or 2 */
  size_t len;  /* of the whole header: the connection's own bytes come behind it */
  /* LOCAL, UNKNOWN or an unspecified family: the connection speaks for itself (a health check, for
   * one). There are no addresses, and TLVs were not looked at. */
  bool local;
  /* Else: AF_INET, AF_INET6 or AF_UNIX, both of the same. */
  struct sockaddr_storage source, destination;
  /* Version 2 only, in the input; empty when not said. */
  struct slice tlvs;        /* all of them, well-formed; see proxy_tlv_next */
  struct slice authority;   /* the host name a client asked for (SNI), UTF-8 */
  struct slice alpn;        /* what was negotiated with the client */
  struct slice unique_id;   /* opaque */
  struct slice aws_vpce_id; /* "vpce-...": the VPC endpoint, printable ASCII without blanks */
  bool tls;                 /* the client came over TLS, which ended at the balancer */
  struct slice tls_version, tls_cn;
};

/* `in` is all that has come of the connection so far. ERR_AGAIN while the header is not complete:
 * call again with more, from its beginning. */
enum err proxy_header_read(struct slice in, struct proxy_header *h) MUST_CHECK;

/* Cuts the next TLV from *rest. False: none is left, or (of TLVs not looked at yet) it is cut
 * short: then rest->len is not 0. */
bool proxy_tlv_next(struct slice *rest, uint8_t *type, struct slice *value);

/* The PROXY protocol (haproxy.org, proxy-protocol.txt), accepted and refused, cut at every byte. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "lib/net/proxy_protocol.h"

static struct proxy_header h;

/* Every beginning must ask for more, and say the same whatever follows the header. */
static enum err read_all(struct slice in) {
  for (size_t n = 0; n < in.len; n++)
    cr_assert_eq(proxy_header_read(slice_of(in.data, n), &h), ERR_AGAIN, "at %zu", n);
  return proxy_header_read(in, &h);
}

static void expect_peer(const struct sockaddr_storage *a, const char *text, int port) {
  char host[INET6_ADDRSTRLEN];
  const struct sockaddr_in *v4 = (const void *)a;
  const struct sockaddr_in6 *v6 = (const void *)a;
  bool is_v4 = a->ss_family == AF_INET;
  inet_ntop(a->ss_family, is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, host, sizeof host);
  cr_assert_str_eq(host, text);
  cr_assert_eq(ntohs(is_v4 ? v4->sin_port : v6->sin6_port), port);
}

Test(proxy_protocol, version_1) {
  cr_assert_eq(read_all(SLICE("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n")), OK);
  cr_assert(h.version == 1 && !h.local && h.len == 45);
  expect_peer(&h.source, "192.0.2.1", 56324);
  expect_peer(&h.destination, "198.51.100.7", 443);
  cr_assert_eq(read_all(SLICE("PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 0 65535\r\n")), OK);
  expect_peer(&h.source, "2001:db8::1", 0);
  cr_assert_eq(proxy_header_read(SLICE("PROXY UNKNOWN\r\nGET"), &h), OK);
  cr_assert(h.local && h.len == 15);
  cr_assert_eq(read_all(SLICE("PROXY UNKNOWN ffff:: ffff:: 1 2\r\n")), OK);
  cr_assert(h.local);
}

Test(proxy_protocol, version_1_refuses) {
  static const char *const cases[] = {
      "GET / HTTP/1.1\r\n",
      "PROXYTCP4",
      "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1\r2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
      "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
      "PROXY TCP4\r\n",
      "PROXY  \r\n",
      "PROXY \r\n",
      "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
      "PROXY TCP4 ::1 ::1 1 2\r\n",
      "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
      "PROXY UNKNOWNS\r\n",
      "PROXY UNKNOWN "
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaa\r\n",
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    cr_assert_eq(proxy_header_read(slice_str(cases[i]), &h), ERR_SYNTAX, "%s", cases[i]);
  char nul[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
  nul[20] = 0;
  cr_assert_eq(proxy_header_read(slice_of(nul, sizeof nul - 1), &h), ERR_SYNTAX);
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TCP4 "\x0a\0\0\x01\x0a\0\0\x02\x30\x39\x01\xbb"
#define VPCE "\xea\0\x17\x01vpce-08d2bf15fac5001c9"

Test(proxy_protocol, version_2) {
  cr_assert_eq(read_all(SLICE(SIGNATURE "\x21\x11\0\x0c" TCP4)), OK);
  cr_assert(h.version == 2 && !h.local && h.len == 28 && h.tlvs.len == 0);
  expect_peer(&h.source, "10.0.0.1", 12345);
  expect_peer(&h.destination, "10.0.0.2", 443);
  static const char v6[] = SIGNATURE "\x21\x21\0\x24"
                                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\0\x01\0\x02";
  cr_assert_eq(read_all(slice_of(v6, sizeof v6 - 1)), OK);
  expect_peer(&h.source, "2001:db8::1", 1);
  expect_peer(&h.destination, "2001:db8::2", 2);
  char local[16 + 216] = SIGNATURE "\x21\x31\0\xd8/from";
  cr_assert_eq(read_all(slice_of(local, sizeof local)), OK);
  cr_assert(h.source.ss_family == AF_UNIX);
  cr_assert_str_eq(((struct sockaddr_un *)&h.source)->sun_path, "/from");
}

Test(proxy_protocol, version_2_may_speak_for_itself) {
  cr_assert_eq(read_all(SLICE(SIGNATURE "\x20\0\0\0")), OK);
  cr_assert(h.local && h.len == 16);
  cr_assert_eq(read_all(SLICE(SIGNATURE "\x20\xff\0\x02xx")), OK); /* the family is ignored */
  cr_assert(h.local && h.len == 18);
  cr_assert_eq(read_all(SLICE(SIGNATURE "\x21\0\0\x02xx")), OK);
  cr_assert(h.local && h.len == 18);
}

Test(proxy_protocol, says_the_endpoint_of_privatelink) {
  cr_assert_eq(read_all(SLICE(SIGNATURE "\x21\x11\0\x26" TCP4 VPCE)), OK);
  cr_assert(slice_equal(h.aws_vpce_id, SLICE("vpce-08d2bf15fac5001c9")));
  uint8_t type;
  struct slice value;
  cr_assert(proxy_tlv_next(&h.tlvs, &type, &value) && type == PROXY_TLV_AWS && value.len == 23);
  cr_assert(!proxy_tlv_next(&h.tlvs, &type, &value) && h.tlvs.len == 0);
}

Test(proxy_protocol, says_what_the_client_asked_for) {
  cr_assert_eq(read_all(SLICE(SIGNATURE "\x21\x11\0\x44" TCP4 "\x01\0\x02h2\x02\0\x07"
                                        "a.local\x04\0\x01x\x05\0\x02id\x20\0\x18\x03\0\0\0\0\x21\0"
                                        "\x07TLSv1.3\x22\0\x06"
                                        "client\xe4\0\x02zz")),
               OK);
  cr_assert(slice_equal(h.alpn, SLICE("h2")) && slice_equal(h.authority, SLICE("a.local")));
  cr_assert(slice_equal(h.unique_id, SLICE("id")) && h.tls);
  cr_assert(slice_equal(h.tls_version, SLICE("TLSv1.3")) && slice_equal(h.tls_cn, SLICE("client")));
}

Test(proxy_protocol, checks_the_checksum) {
  char text[] = SIGNATURE "\x21\x11\0\x13" TCP4 "\x03\0\x04\0\0\0\0";
  memcpy(text + 31, "\x49\x27\x7a\x57", 4);
  cr_assert_eq(proxy_header_read(slice_of(text, sizeof text - 1), &h), OK);
  text[31] ^= 1;
  cr_assert_eq(proxy_header_read(slice_of(text, sizeof text - 1), &h), ERR_SYNTAX);
}

Test(proxy_protocol, version_2_refuses) {
  static const struct {
    struct slice text;
    enum err err;
  } cases[] = {
      {SLICE("\r\n\r\nX"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x11"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x22"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x10\0\0"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x01\0\0"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x41\0\0"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x13\0\0"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x12\0\x0c" TCP4), ERR_RANGE},
      {SLICE(SIGNATURE "\x21\x11\0\x0b\0\0\0\0\0\0\0\0\0\0\0"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x11\x20\0"), ERR_LIMIT},
      {SLICE(SIGNATURE "\x21\x11\0\x0e" TCP4 "\x04\0"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x11\0\x10" TCP4 "\x04\0\x02x"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x11\0\x40" TCP4 VPCE VPCE), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x11\0\x10" TCP4 "\xea\0\x01\x01"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x11\0\x0f" TCP4 "\xea\0\0"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x11\0\x12" TCP4 "\xea\0\x03\x01v\n"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x11\0\x10" TCP4 "\x02\0\x01\xff"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x11\0\x10" TCP4 "\x20\0\x01\x01"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x11\0\x15" TCP4 "\x20\0\x06\x01\0\0\0\0\x21"), ERR_SYNTAX},
      {SLICE(SIGNATURE "\x21\x11\0\x10" TCP4 "\x03\0\x01\0"), ERR_SYNTAX},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    cr_assert_eq(proxy_header_read(cases[i].text, &h), cases[i].err, "case %zu: %s", i,
                 err_word(proxy_header_read(cases[i].text, &h)));
}

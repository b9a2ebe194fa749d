/* Addresses as clients and proxies write them, and the ranges they lie in. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/net/address.h"

Test(address, hosts_as_forwarding_fields_have_them) {
  static const struct {
    const char *text, *plain;
  } good[] = {{"192.0.2.1", "192.0.2.1"},
              {"192.0.2.1:4000", "192.0.2.1"},
              {"2001:db8::1", "2001:db8::1"},
              {"2001:DB8:0::1", "2001:db8::1"},
              {"[2001:db8::1]", "2001:db8::1"},
              {"[2001:db8::1]:65535", "2001:db8::1"},
              {"::", "::"},
              {"::ffff:192.0.2.1", "192.0.2.1"},
              {"unix", "unix"}};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    struct sockaddr_storage a;
    char plain[ADDRESS_TEXT_BYTES];
    cr_assert_eq(address_host_parse(slice_str(good[i].text), &a), OK, "%s", good[i].text);
    address_peer_text((struct sockaddr *)&a, plain, sizeof plain);
    cr_assert_str_eq(plain, good[i].plain);
  }
}

Test(address, what_is_none) {
  static const char *const bad[] = {"",
                                    "unknown",
                                    "_hidden",
                                    "192.0.2",
                                    "192.0.2.256",
                                    "192.0.2.1:",
                                    "192.0.2.1:x",
                                    "192.0.2.1 ",
                                    " 192.0.2.1",
                                    "[",
                                    "[]",
                                    "[192.0.2.1",
                                    "[::1",
                                    "[::1]x",
                                    "[::1]:",
                                    "[::1]:x",
                                    "::1]",
                                    "[[::1]]",
                                    ":80",
                                    ":",
                                    "2001:db8::1::",
                                    "fe80::1%eth0",
                                    "unix:/run/a",
                                    "Unix",
                                    "1.2.3.4, ::1",
                                    "localhost",
                                    "010.0.0.1",
                                    "0x7f.0.0.1",
                                    "2130706433",
                                    "127.1",
                                    "192.0.2.1:+1"};
  struct sockaddr_storage a;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    cr_assert_eq(address_host_parse(slice_str(bad[i]), &a), ERR_SYNTAX, "%s", bad[i]);
  cr_assert_eq(address_host_parse(SLICE("::1\0"), &a), ERR_SYNTAX);
  cr_assert_eq(address_host_parse(SLICE("192.0.2.1\0.9"), &a), ERR_SYNTAX);
  char text[4096];
  memset(text, '1', sizeof text);
  cr_assert_eq(address_host_parse(slice_of(text, sizeof text), &a), ERR_SYNTAX);
}

static bool in_range(const char *range, const char *host) {
  struct address_range r;
  struct sockaddr_storage a;
  cr_assert_eq(address_range_parse(range, &r), OK);
  cr_assert_eq(address_host_parse(slice_str(host), &a), OK);
  return address_range_has(&r, (struct sockaddr *)&a);
}

Test(address, ranges) {
  cr_assert(in_range("10.0.0.0/8", "10.255.0.1") && !in_range("10.0.0.0/8", "11.0.0.1"));
  cr_assert(in_range("192.0.2.128/25", "192.0.2.200") && !in_range("192.0.2.128/25", "192.0.2.1"));
  cr_assert(in_range("10.0.0.0/8", "::ffff:10.1.1.1") && !in_range("::/0", "10.1.1.1"));
  cr_assert(in_range("2001:db8::/33", "2001:db8:7fff::1") &&
            !in_range("2001:db8::/33", "2001:db8:8000::1"));
  cr_assert(in_range("0.0.0.0/0", "1.2.3.4") && !in_range("0.0.0.0/0", "::1"));
  cr_assert(in_range("192.0.2.1", "192.0.2.1") && !in_range("192.0.2.1", "192.0.2.2"));
  cr_assert(in_range("unix", "unix") && !in_range("unix", "::") && !in_range("::/0", "unix"));
}

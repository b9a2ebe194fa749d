/* Any text as an address of X-Forwarded-For, as a range, and as where to listen: what is accepted
 * is an address, and its plain form is the same one. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "lib/net/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void host(struct slice text) {
  struct sockaddr_storage first, again;
  char plain[ADDRESS_TEXT_BYTES];
  struct address_range one;
  if (address_host_parse(text, &first) != OK)
    return;
  address_peer_text((struct sockaddr *)&first, plain, sizeof plain);
  assert(address_host_parse(slice_str(plain), &again) == OK);
  assert(address_range_parse(plain, &one) == OK);
  assert(address_range_has(&one, (struct sockaddr *)&first));
  assert(address_range_has(&one, (struct sockaddr *)&again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char text[512];
  struct address address;
  struct address_range range;
  if (size >= sizeof text)
    return 0;
  memcpy(text, data, size);
  text[size] = '\0';
  host(slice_of(text, size));
  if (address_range_parse(text, &range) == OK)
    assert(range.prefix_bits >= 0 && range.prefix_bits <= 128);
  if (address_parse(text, &address) == OK)
    assert(address.len && address.len <= sizeof address.storage);
  return 0;
}

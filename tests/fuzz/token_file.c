/* Any bytes as a token file: refused with a reason, or read, and then what is written of it reads
 * as as many tokens. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/fleet/token_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct token *t) {
  struct buf b = BUF_INIT(1 << 20);
  struct token *copy;
  token_write(t, &b);
  assert(!b.failed && token_read(buf_slice(&b), &copy) == OK);
  assert(memcmp(copy->hash, t->hash, sizeof t->hash) == 0 && copy->expires_s == t->expires_s);
  token_free(copy);
  buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int fd = -1;
  char path[64];
  if (fd < 0)
    fd = memfd_create("tokens", 0);
  assert(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  struct buf why = BUF_INIT(1 << 16);
  struct token_set *set;
  if (token_set_load(path, &set, &why) == OK) {
    for (size_t i = 0; i < token_set_count(set); i++)
      again(token_set_at(set, i));
    token_set_unref(set);
  } else {
    assert(why.len);
  }
  buf_free(&why);
  return 0;
}

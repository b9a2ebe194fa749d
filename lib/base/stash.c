#include "lib/base/stash.h"

#include <stdlib.h>

#include "lib/base/wipe.h"

enum { STASH_MIN_BYTES = 2048 };

enum err stash_append(struct stash *s, struct slice bytes) {
  if (bytes.len == 0)
    return OK;
  if (bytes.len > s->limit_bytes || s->len > s->limit_bytes - bytes.len)
    return ERR_LIMIT;
  size_t need = s->len + bytes.len;
  if (need > s->room) {
    size_t room = need < STASH_MIN_BYTES ? STASH_MIN_BYTES : need * 2;
    char *grown = malloc(room);
    if (!grown)
      return ERR_MEMORY;
    if (s->len)
      memcpy(grown, s->data, s->len);
    wipe_free(s->data);
    s->data = grown;
    s->room = room;
  }
  memmove(s->data + s->len, bytes.data, bytes.len);
  s->len = need;
  return OK;
}

void stash_drop(struct stash *s, size_t n) {
  s->len -= n;
  if (s->len)
    memmove(s->data, s->data + n, s->len);
  if (n)
    wipe(s->data + s->len, n);
  if (s->len == 0 && s->room > STASH_KEEP_BYTES)
    stash_free(s);
}

struct slice stash_take(struct stash *s) {
  struct slice all = stash_slice(s);
  s->len = 0;
  return all;
}

void stash_free(struct stash *s) {
  wipe_free(s->data);
  *s = (struct stash)STASH_INIT(s->limit_bytes);
}

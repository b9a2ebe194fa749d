#include "lib/base/wipe.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

void wipe(void *p, size_t n) {
  if (n)
    explicit_bzero(p, n);
}

void wipe_slice(struct slice s) {
  wipe((char *)s.data, s.len);
}

void wipe_text(char *text) {
  if (text)
    wipe(text, strlen(text));
}

void wipe_free(void *p) {
  if (p)
    wipe(p, malloc_usable_size(p));
  free(p);
}

#include "lib/store/args.h"

#include <stdlib.h>

void args_clear(struct args *a) {
  buf_clear(&a->text);
  a->text.failed = false;
  a->count = 0;
  a->failed = false;
}

void args_free(struct args *a) {
  buf_free(&a->text);
  free(a->ends);
  a->ends = NULL;
  a->count = a->room = 0;
}

void args_end(struct args *a) {
  if (a->count == a->room) {
    int room = a->room ? a->room * 2 : 16;
    size_t *ends = room <= ARGS_MAX ? realloc(a->ends, (size_t)room * sizeof *ends) : NULL;
    if (!ends) {
      a->failed = true;
      return;
    }
    a->ends = ends;
    a->room = room;
  }
  a->failed = a->failed || a->text.failed;
  a->ends[a->count++] = a->text.len;
}

void args_add(struct args *a, struct slice word) {
  buf_add(&a->text, word);
  args_end(a);
}

void args_str(struct args *a, const char *word) {
  args_add(a, slice_str(word));
}

void args_number(struct args *a, int64_t n) {
  buf_integer(&a->text, n);
  args_end(a);
}

void args_real(struct args *a, double n) {
  buf_printf(&a->text, "%.15g", n);
  args_end(a);
}

struct slice args_at(const struct args *a, int i) {
  size_t begin = i ? a->ends[i - 1] : 0;
  return slice_of(a->text.data ? a->text.data + begin : "", a->ends[i] - begin);
}

void args_all(struct args *a, const struct args *more) {
  for (int i = 0; i < more->count; i++)
    args_add(a, args_at(more, i));
  a->failed = a->failed || more->failed;
}

void args_eval(struct args *a, const char *script, int keys) {
  args_clear(a);
  args_str(a, "EVAL");
  args_str(a, script);
  args_number(a, keys);
}

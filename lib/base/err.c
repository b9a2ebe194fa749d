#include "lib/base/err.h"

const char *err_word(enum err e) {
  static const char *const words[] = {
      [OK] = "ok",
      [ERR_MEMORY] = "out of memory",
      [ERR_LIMIT] = "limit reached",
      [ERR_AGAIN] = "not now",
      [ERR_CLOSED] = "closed",
      [ERR_IO] = "input/output error",
      [ERR_SYNTAX] = "bad syntax",
      [ERR_RANGE] = "out of range",
      [ERR_ABSENT] = "absent",
      [ERR_EXISTS] = "exists already",
      [ERR_REFUSED] = "refused",
      [ERR_TIMEOUT] = "timed out",
      [ERR_TLS] = "TLS error",
  };
  return (unsigned)e < sizeof words / sizeof *words ? words[e] : "unknown error";
}

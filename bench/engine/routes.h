#ifndef ENGINE_ROUTES_H
#define ENGINE_ROUTES_H

#include <stdbool.h>

struct conn;

enum {
  ROUTE_QUIET = 1,    /* not counted: looking at the counts must not change them */
  ROUTE_ALWAYS = 2,   /* answered while the model loads */
  ROUTE_MODEL = 4,    /* needs a slot; its body is read by content type */
  ROUTE_PREFIX = 8,   /* the path goes on after this */
  ROUTE_ECHO = 16,    /* its body is sent back as it comes */
  ROUTE_HEADERS = 32, /* shows its own head */
};

struct route {
  const char *method; /* NULL: any */
  const char *path;
  unsigned flags;
  void (*handle)(struct conn *c);
};

/* NULL when there is none; `wrong_method` when there is, but not for this method. */
const struct route *route_find(const char *method, const char *path, bool *wrong_method);

#endif

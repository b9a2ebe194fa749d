/* The whole fleet at one moment, from what the store knows: for status and metrics of any
 * process, whatever its role. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/map.h"
#include "lib/store/store.h"

struct endpoint_record;
struct load_record;
struct loop;
struct overview;

enum { OVERVIEW_PROXIES_MAX = 1024 };

struct overview_endpoint {
  struct endpoint_record *record;
  struct load_record **loads; /* of each proxy that has any */
  int load_count, load_room;
};

struct overview {
  struct store_watch watch;
  struct store *store;
  struct map endpoints; /* name -> overview_endpoint */
  const char **proxies;
  int proxy_count;
  void (*done)(struct overview *o);
  void *user;
};

/* Looks at the store once; `done` is called from the loop when all is there, or when it
 * cannot be had. */
enum err overview_start(struct loop *loop, struct store *store, void (*done)(struct overview *o),
                        void *user, struct overview **out) MUST_CHECK;
/* Accepts NULL; returns NULL. May be called from `done`. */
struct overview *overview_free(struct overview *o);

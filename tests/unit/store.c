/* The store inside one process: latest record wins, leases run out, nothing recursive. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fleet/endpoint.h"
#include "lib/fleet/load.h"
#include "lib/net/loop.h"
#include "lib/store/store.h"

static int endpoints, gone, loads, loads_gone;
static int64_t last_version, last_pending;

static void on_endpoint(void *user, const struct endpoint_record *r) {
  endpoints++;
  last_version = r->version;
}

static void on_gone(void *user, const char *name) {
  gone++;
}

static void on_load(void *user, const struct load_record *r) {
  loads++;
  last_pending = r->pending;
}

static void on_load_gone(void *user, const char *endpoint, const char *proxy) {
  loads_gone += strcmp(endpoint, "ep") == 0 && strcmp(proxy, "p") == 0;
}

static struct endpoint_def *def_new(void) {
  struct endpoint_def *d = calloc(1, sizeof *d);
  d->name = strdup("ep");
  d->refs = 1;
  return d;
}

Test(store, tells_the_latest_and_forgets_what_is_not_renewed) {
  struct loop *l = loop_new(1 << 20);
  struct store *s = memory_store_new(l, "/nonexistent/tokens.json", 20);
  struct store_watch w = {.endpoint = on_endpoint,
                          .endpoint_gone = on_gone,
                          .load = on_load,
                          .load_gone = on_load_gone};
  struct endpoint_def *def = def_new();
  struct endpoint_record r = {.def = def};
  store_watch(s, &w);
  for (r.version = 1; r.version <= 3; r.version++)
    cr_assert_eq(store_put_endpoint(s, "ep", &r), OK);
  static struct load_record load = {.endpoint = "ep", .proxy = "p"};
  for (load.pending = 1; load.pending <= 3; load.pending++)
    cr_assert_eq(store_put_load(s, &load, false), OK);
  cr_assert(endpoints == 0 && loads == 0, "never from within a call");
  loop_turn(l, false);
  cr_assert(endpoints == 1 && last_version == 3 && loads == 1 && last_pending == 3);
  struct store_watch late = {.endpoint = on_endpoint};
  store_watch(s, &late);
  loop_turn(l, false);
  cr_assert(endpoints >= 2, "a newcomer hears what is known");
  while (!loads_gone)
    loop_turn(l, true);
  cr_assert_eq(store_put_endpoint(s, "ep", NULL), OK);
  cr_assert_eq(store_put_endpoint(s, "nope", NULL), ERR_ABSENT);
  loop_turn(l, false);
  cr_assert_eq(gone, 1);
  store_unwatch(s, &w);
  store_unwatch(s, &late);
  store_free(s);
  endpoint_def_unref(def);
  loop_free(l);
}

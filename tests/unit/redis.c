/* The lead goes from one process to another, on a Redis of our own. */
#include <criterion/criterion.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/fleet/endpoint.h"
#include "lib/fleet/wire.h"
#include "lib/net/loop.h"
#include "lib/store/redis.h"
#include "lib/store/store.h"

extern char **environ;

static char directory[] = "/tmp/headrace-redis-XXXXXX", address[64];
static pid_t server;
static struct loop *loop;

static void setup(void) {
  cr_assert(mkdtemp(directory));
  snprintf(address, sizeof address, "unix:%s/s", directory);
  char *argv[] = {"redis-server",
                  "--port",
                  "0",
                  "--save",
                  "",
                  "--dir",
                  directory,
                  "--unixsocket",
                  address + strlen("unix:"),
                  "--logfile",
                  "log",
                  NULL};
  cr_assert_eq(posix_spawnp(&server, argv[0], NULL, NULL, argv, environ), 0);
  loop = loop_new(1 << 20);
}

static void teardown(void) {
  char command[128];
  loop_free(loop);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  snprintf(command, sizeof command, "rm -r %s", directory);
  cr_assert_eq(system(command), 0);
}

/* What one of them has been told. */
struct told {
  struct store *store;
  struct store_watch watch;
  int64_t fence, version, version_then; /* when it was given the lead */
};

static void on_endpoint(void *user, const struct endpoint_record *r) {
  struct told *t = user;
  t->version = r->version;
}

static void on_lead(void *user, int64_t fence) {
  struct told *t = user;
  t->fence = fence;
  t->version_then = t->version;
}

static void told_open(struct told *t, const char *id) {
  struct redis_store_settings settings = {
      .redis = {.address = address, .prefix = "t:", .timeout_ms = 5000},
      .id = id,
      .lease_ms = 60000,
      .refresh_ms = 50};
  *t = (struct told){.store = redis_store_new(loop, &settings)};
  t->watch = (struct store_watch){.user = t, .endpoint = on_endpoint, .lead = on_lead};
  store_watch(t->store, &t->watch);
  store_lead(t->store);
}

static void told_close(struct told *t) {
  store_unwatch(t->store, &t->watch);
  store_free(t->store);
}

TestSuite(redis, .init = setup, .fini = teardown);

/* A third one that asks all the while does not get it, and what was put in the same turn is known
 * to the heir before it leads. */
Test(redis, the_lead_is_handed_over_after_what_was_put) {
  struct told first, heir, third;
  struct buf why = BUF_INIT(4096);
  struct endpoint_record r = {.version = 1};
  cr_assert_eq(endpoint_def_read("ep",
                                 SLICE("{\"access\": \"public\", \"driver\": \"static\", "
                                       "\"addresses\": [\"127.0.0.1:1\"]}"),
                                 &r.def, &why),
               OK);
  told_open(&first, "first");
  while (!first.fence)
    loop_turn(loop, true);
  told_open(&heir, "heir");
  told_open(&third, "third");
  cr_assert_eq(store_put_endpoint(first.store, "ep", &r), OK);
  while (heir.version < 1 || third.version < 1)
    loop_turn(loop, true);
  r.version = 2;
  cr_assert_eq(store_put_endpoint(first.store, "ep", &r), OK);
  store_follow(first.store, "heir");
  while (!heir.fence && !third.fence)
    loop_turn(loop, true);
  cr_assert(heir.fence > first.fence && !third.fence);
  cr_assert_eq(heir.version_then, 2);
  told_close(&first);
  told_close(&heir);
  told_close(&third);
  endpoint_def_unref(r.def);
  buf_free(&why);
}

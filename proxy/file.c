#include "proxy/file.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/privileges.h"
#include "lib/fleet/endpoint.h"
#include "lib/fleet/endpoint_rows.h"
#include "lib/net/address.h"
#include "lib/option/option.h"
#include "proxy/config/rows.h"

static struct option_row rows[CONFIG_ROWS + 3];

/* Two endpoints may not claim the same: the later one is at fault. */
static bool same_word(char **a, char **b, const char **which) {
  for (char **x = a; x && *x; x++)
    for (char **y = b; y && *y; y++)
      if (strcmp(*x, *y) == 0) {
        *which = *x;
        return true;
      }
  return false;
}

static bool same_prefix(const struct endpoint_def *a, const struct endpoint_def *b,
                        const char **which) {
  for (int i = 0; i < a->route_count; i++)
    for (int k = 0; k < b->route_count; k++)
      if (strcmp(a->routes[i].prefix, b->routes[k].prefix) == 0) {
        *which = a->routes[i].prefix;
        return true;
      }
  return false;
}

static void check_pair(struct option_load *l, const struct endpoint_def *first,
                       const struct endpoint_def *second) {
  struct option_path endpoints = {.key = "endpoints"};
  struct option_path at = {.up = &endpoints, .key = second->name};
  const char *which;
  if (first->is_default && second->is_default)
    option_error(l, &at, "default", "endpoint \"%s\" is the default already; there can be one",
                 first->name);
  if (same_word(first->models, second->models, &which))
    option_error(l, &at, "models", "endpoint \"%s\" answers for the model %s already", first->name,
                 which);
  if (same_word(first->hosts, second->hosts, &which))
    option_error(l, &at, "hosts", "endpoint \"%s\" answers for %s already", first->name, which);
  if (same_prefix(first, second, &which))
    option_error(l, &at, "routes", "endpoint \"%s\" answers for the prefix %s already", first->name,
                 which);
}

/* Of load balancers, not of sockets here. */
static bool trusts_addresses(const struct config *c) {
  for (char **text = c->trusted_peers; text && *text; text++)
    if (strcmp(*text, "unix") != 0)
      return true;
  return false;
}

/* A listener where nobody may say for whom he comes would let in nobody. */
static void check_introductions(struct option_load *l, const struct config *c) {
  struct option_path listeners = {.key = "listeners"};
  for (int i = 0; i < c->listener_count; i++) {
    const struct config_listener *one = &c->listeners[i];
    struct option_path at = {.up = &listeners, .index = i};
    if (one->proxy_protocol && one->address && strncmp(one->address, "unix:", 5) != 0 &&
        !trusts_addresses(c))
      option_error(l, &at, "proxy_protocol",
                   "needs \"trusted_peers\": [\"10.0.0.0/8\"], the addresses of the load balancers "
                   "whose headers are believed");
  }
}

static void check_trusted(struct option_load *l, const struct config *c) {
  struct address_range r;
  for (char **text = c->trusted_peers; text && *text; text++)
    if (address_range_parse(*text, &r) != OK)
      option_error(l, NULL, "trusted_peers",
                   "\"%s\" is not an address range; allowed is \"10.0.0.0/8\", \"::1\" or \"unix\"",
                   *text);
}

static void check_user(struct option_load *l, const struct config *c) {
  struct privileges_user user;
  struct buf why = BUF_INIT(1024);
  bool named = c->user && *c->user, grouped = c->group && *c->group;
  if (named && privileges_find(c->user, NULL, &user, &why) != OK)
    option_error(l, NULL, "user", "%s; make it, or leave the option out", why.data ? why.data : "");
  else if (named && privileges_find(c->user, c->group, &user, &why) != OK)
    option_error(l, NULL, "group", "%s; make it, or leave the option out",
                 why.data ? why.data : "");
  if (grouped && !named)
    option_error(l, NULL, "group", "a group needs a user; set \"user\" too");
  buf_free(&why);
}

static void check_file(struct option_load *l, const struct option_path *at, struct json_t *given,
                       void *object) {
  struct file *f = object;
  check_user(l, &f->config);
  if (f->config.listener_count == 0 && f->endpoint_count == 0)
    option_error(l, NULL, NULL,
                 "there are neither listeners (for a proxy) nor endpoints (for a scheduler); add "
                 "\"listeners\": [{\"address\": \"127.0.0.1:8443\"}]");
  check_trusted(l, &f->config);
  check_introductions(l, &f->config);
  for (int i = 0; i < f->endpoint_count; i++)
    for (int k = 0; k < i; k++)
      check_pair(l, f->endpoints[k], f->endpoints[i]);
}

const struct option_table file_table = {sizeof(struct file), rows, check_file};

__attribute__((constructor)) static void put_rows_together(void) {
  memcpy(rows, config_rows, CONFIG_ROWS * sizeof *rows);
  rows[CONFIG_ROWS] = (struct option_row){
      "scheduler", OPTION_OBJECT, .offset = offsetof(struct file, scheduler),
      .table = &scheduler_table, .help = "The companion that starts and stops replicas."};
  rows[CONFIG_ROWS + 1] = (struct option_row){"endpoints",
                                              OPTION_MAP,
                                              .offset = offsetof(struct file, endpoints),
                                              .count_offset = offsetof(struct file, endpoint_count),
                                              .table = &endpoint_table,
                                              .help = "The endpoints, by name."};
}

enum err file_reload(const char *path, const struct file *running, struct file **out,
                     struct buf *errors) {
  struct file *f = calloc(1, sizeof *f);
  if (!f)
    return ERR_MEMORY;
  enum err e = running ? option_reload_file(&file_table, path, running, f, errors)
                       : option_load_file(&file_table, path, f, errors);
  if (e)
    free(f);
  else
    *out = f;
  if (!e)
    atomic_store(&f->refs, 1);
  return e;
}

enum err file_load(const char *path, struct file **out, struct buf *errors) {
  return file_reload(path, NULL, out, errors);
}

struct file *file_ref(struct file *f) {
  atomic_fetch_add(&f->refs, 1);
  return f;
}

struct file *file_free(struct file *f) {
  if (!f || atomic_fetch_sub(&f->refs, 1) > 1)
    return NULL;
  for (int i = 0; i < f->endpoint_count; i++)
    endpoint_def_unref(f->endpoints[i]);
  free(f->endpoints);
  f->endpoints = NULL;
  f->endpoint_count = 0;
  option_free(&file_table, f);
  free(f);
  return NULL;
}

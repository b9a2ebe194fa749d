#include "proxy/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/descriptors.h"
#include "lib/base/privileges.h"
#include "lib/fleet/endpoint.h"
#include "proxy/file.h"

enum { KEY_BYTES = 128, PATH_BYTES = 4096 };

struct proof {
  const char *user;
  struct buf *why;
  bool failed;
};

static void fails(struct proof *p, const char *key, const char *path, const char *what) {
  p->failed = true;
  buf_printf(p->why, "%s: %s cannot be %s by the user %s: %s; give it to that user (chown %s %s)\n",
             key, path, what, p->user, strerror(errno), p->user, path);
}

static void prove_readable(struct proof *p, const char *key, const char *path) {
  if (access(path, R_OK))
    fails(p, key, path, "read");
}

/* The directory, or the nearest one above that is there: it will be made. */
static void prove_directory(struct proof *p, const char *key, const char *path) {
  char at[PATH_BYTES];
  snprintf(at, sizeof at, "%s", path);
  while (access(at, F_OK) && errno == ENOENT) {
    char *slash = strrchr(at, '/');
    if (!slash)
      strcpy(at, ".");
    else if (slash == at)
      at[1] = '\0';
    else
      *slash = '\0';
    if (strcmp(at, ".") == 0 || strcmp(at, "/") == 0)
      break;
  }
  if (access(at, W_OK | X_OK))
    fails(p, key, at, "written to");
}

static void prove_directory_of(struct proof *p, const char *key, const char *path) {
  char directory[PATH_BYTES];
  snprintf(directory, sizeof directory, "%s", path);
  char *slash = strrchr(directory, '/');
  if (slash)
    slash[slash == directory] = '\0';
  prove_directory(p, key, slash ? directory : ".");
}

/* One that is there may be another's to make: a service manager's, or our predecessor's. */
static void prove_socket(struct proof *p, const char *key, const char *path) {
  if (access(path, F_OK))
    prove_directory_of(p, key, path);
}

static void prove_certificates(struct proof *p, const struct config_listener *l, int index) {
  char key[KEY_BYTES];
  for (int i = 0; i < l->certificate_count; i++) {
    const struct config_certificate *c = &l->certificates[i];
    snprintf(key, sizeof key, "listeners[%d].certificates[%d].certificate", index, i);
    prove_readable(p, key, c->certificate);
    snprintf(key, sizeof key, "listeners[%d].certificates[%d].key", index, i);
    if (strncmp(c->key, "-----BEGIN", 10) != 0) /* else its text, which reading the file proves */
      prove_readable(p, key, c->key);
  }
}

/* What was made at an earlier start is renewed some day. */
static void prove_self_signed(struct proof *p, const struct config_listener *l, int index) {
  static const char *const names[] = {"ca.pem", "ca-key.pem", "cert.pem", "key.pem"};
  char key[KEY_BYTES], path[PATH_BYTES];
  snprintf(key, sizeof key, "listeners[%d].self_signed.directory", index);
  prove_directory(p, key, l->self_signed_directory);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s/%s", l->self_signed_directory, names[i]);
    if (access(path, F_OK) == 0 && access(path, R_OK | W_OK))
      fails(p, key, path, "read and written");
  }
}

static void prove_listeners(struct proof *p, const struct config *c) {
  char key[KEY_BYTES];
  for (int i = 0; i < c->listener_count; i++) {
    const struct config_listener *l = &c->listeners[i];
    snprintf(key, sizeof key, "listeners[%d].address", i);
    if (strncmp(l->address, "unix:", 5) == 0)
      prove_socket(p, key, l->address + 5);
    if (l->tls && l->certificate_count)
      prove_certificates(p, l, i);
    else if (l->tls)
      prove_self_signed(p, l, i);
  }
}

static void prove_log(struct proof *p, const char *path) {
  if (!path || !*path || strcmp(path, "-") == 0)
    return;
  if (access(path, F_OK) == 0 && access(path, W_OK))
    fails(p, "log.access", path, "written");
  struct stat s;
  if (stat(path, &s) || S_ISREG(s.st_mode)) /* a device or a FIFO is not made anew */
    prove_directory_of(p, "log.access", path);
}

static void prove_scheduler(struct proof *p, const struct file *file) {
  char key[KEY_BYTES];
  if (file->endpoint_count == 0)
    return;
  prove_directory(p, "scheduler.state_directory", file->scheduler.state_directory);
  for (int i = 0; i < file->endpoint_count; i++) {
    const struct endpoint_def *def = file->endpoints[i];
    snprintf(key, sizeof key, "endpoints.%.64s.process.log_directory", def->name);
    if (def->driver == ENDPOINT_DRIVER_PROCESS)
      prove_directory(p, key, def->process.log_directory);
  }
}

static enum err prove_all(const char *config_path, const struct file *file, struct buf *why) {
  const struct config *c = &file->config;
  struct proof p = {.user = c->user, .why = why};
  prove_readable(&p, "the configuration", config_path);
  prove_listeners(&p, c);
  prove_log(&p, c->log.access);
  prove_socket(&p, "admin.socket", c->admin.socket);
  if (c->store == CONFIG_STORE_MEMORY && access(c->token_file, F_OK) == 0)
    prove_readable(&p, "token_file", c->token_file);
  prove_scheduler(&p, file);
  if (p.failed)
    return ERR_IO;
  struct file *again; /* with what stands in files that it names */
  enum err e = file_reload(config_path, file, &again, why);
  if (!e)
    file_free(again);
  return e;
}

static enum err user_enter(const char *config_path, const struct config *c, struct buf *why) {
  struct privileges_user user;
  enum err e = privileges_find(c->user, c->group, &user, why);
  if (!e)
    e = privileges_drop(&user, !c->no_new_privileges, why);
  if (e)
    buf_printf(why, " (%s: user)\n", config_path);
  return e;
}

enum err host_enter(const char *config_path, const struct file *file, struct buf *why) {
  const struct config *c = &file->config;
  bool is_named = c->user && *c->user;
  descriptors_raise();
  enum err e = is_named ? user_enter(config_path, c, why) : OK;
  if (!is_named)
    privileges_pass_on(false);
  if (!e && c->no_new_privileges)
    e = privileges_gain_nothing();
  privileges_core_dumps(c->core_dumps);
  if (e && why->len == 0)
    buf_printf(why, "the kernel does not take privileges away: %s", strerror(errno));
  return e || !is_named ? e : prove_all(config_path, file, why);
}

void host_warnings(const struct config *c, struct buf *out) {
  int64_t limit = descriptors_limit(), clients = descriptors_for_clients(limit);
  if (clients < c->connections_max)
    buf_printf(
        out,
        "%lld open files are allowed, enough for %lld clients and not for "
        "client.connections_max (%lld); beyond that nobody is let in: raise the limit to %lld "
        "(ulimit -Hn, LimitNOFILE=) or lower the option\n",
        (long long)limit, (long long)clients, (long long)c->connections_max,
        (long long)descriptors_needed(c->connections_max));
}

#include "proxy/run.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/net/loop.h"
#include "lib/store/store.h"
#include "proxy/admin.h"
#include "proxy/edge.h"
#include "proxy/file.h"
#include "proxy/greeting.h"
#include "proxy/host.h"
#include "proxy/report.h"
#include "proxy/store_open.h"
#include "scheduler/scheduler.h"

enum { MAIN_CHUNK_BYTES = 1 << 20, SHUTDOWN_GRACE_S = 30, LEAVE_MOST_S = 2 };

/* From the ground up; taken down the other way round. */
struct process_parts {
  struct file *file;
  struct file *first; /* what is read at the start only lives there */
  const char *config_path;
  struct loop *loop;
  struct store *store;
  struct scheduler *scheduler;
  struct edge *edge;
  struct admin *admin;
  struct store_watch watch; /* for the log */
  char id[PROCESS_ID_BYTES];
  enum run_roles roles;
  struct report_reloads reloads;
  struct event *term, *interrupt, *hangup, *reopen;
  struct timer hurry_timer, greet_timer, leave_timer;
  bool stopping, was_up, was_down;
};

static void log_line(const char *who, const char *text) {
  char when[32];
  time_t now = time(NULL);
  struct tm tm;
  gmtime_r(&now, &tm);
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
  fprintf(stderr, "%s %s: %s\n", when, who, text);
}

static void scheduler_says(void *user, const char *endpoint, const char *text) {
  log_line(endpoint, text);
}

static void store_problem(void *user, const char *text) {
  log_line("store", text);
}

static void store_link_changed(void *user, const struct store_link *link) {
  struct process_parts *p = user;
  char text[sizeof link->why + 64];
  if (link->up && p->was_down)
    log_line("store", "is back");
  else if (!link->up && strcmp(link->why, "connecting") != 0) {
    snprintf(text, sizeof text, "%s: %s", p->was_up ? "is away" : "cannot be reached", link->why);
    log_line("store", text);
    p->was_down = true;
  }
  p->was_up = link->up;
}

/* From the edge to the scheduler to the store: each ends when the one before is done. */
static void store_left(void *user, enum err e) {
  struct process_parts *p = user;
  loop_stop(p->loop);
}

static void leave_late(struct timer *t) {
  store_left(container_of(t, struct process_parts, leave_timer), ERR_TIMEOUT);
}

static void scheduler_done(void *user) {
  struct process_parts *p = user;
  if (timer_set(p->loop, &p->leave_timer, loop_now(p->loop) + LEAVE_MOST_S * USEC_PER_S) != OK)
    loop_stop(p->loop);
  store_leave(p->store, (struct store_reply){p, store_left});
}

static void edge_done(void *user) {
  struct process_parts *p = user;
  if (p->scheduler)
    scheduler_stop(p->scheduler, scheduler_done, p);
  else
    scheduler_done(p);
}

static void hurry(struct timer *t) {
  struct process_parts *p = container_of(t, struct process_parts, hurry_timer);
  edge_stop(p->edge, true, edge_done, p);
}

static void stop_asked(evutil_socket_t fd, short what, void *user) {
  struct process_parts *p = user;
  bool now = p->stopping;
  p->stopping = true;
  admin_stopping(p->admin);
  log_line("headrace", now ? "stopping at once" : "stopping: requests may end; again to hurry");
  if (!p->edge) {
    if (!now)
      edge_done(p);
    return;
  }
  if (!now &&
      timer_set(p->loop, &p->hurry_timer, loop_now(p->loop) + SHUTDOWN_GRACE_S * USEC_PER_S) != OK)
    now = true;
  edge_stop(p->edge, now, edge_done, p);
}

/* When the fleet is known, the doors are open to some purpose. */
static void greet(struct timer *t) {
  struct process_parts *p = container_of(t, struct process_parts, greet_timer);
  if (!p->edge || edge_ready(p->edge))
    greeting_print(p->file);
  else if (timer_set(p->loop, t, loop_now(p->loop) + 10 * USEC_PER_MS) != OK)
    greeting_print(p->file);
}

/* What a role needs of the file. */
static enum err check_roles(const struct process_parts *p, const struct file *file,
                            struct buf *why) {
  const struct config *c = &file->config;
  if (p->roles != RUN_BOTH && c->store != CONFIG_STORE_REDIS) {
    buf_printf(why,
               "%s: store.kind: proxies and schedulers of a fleet meet in Redis; set it to "
               "\"redis\", or start both in one process: headrace run",
               p->config_path);
    return ERR_SYNTAX;
  }
  if ((p->roles & RUN_PROXY) && c->listener_count == 0) {
    buf_printf(why,
               "%s: there are no listeners; add \"listeners\": [{\"address\": "
               "\"127.0.0.1:8443\"}]",
               p->config_path);
    return ERR_SYNTAX;
  }
  return OK;
}

static void log_lines(const char *who, const char *text) {
  while (*text) {
    const char *end = strchrnul(text, '\n');
    char line[2048];
    snprintf(line, sizeof line, "%.*s", (int)(end - text), text);
    log_line(who, line);
    text = *end ? end + 1 : end;
  }
}

/* All that can fail comes before anything changes. */
static enum err reload_try(struct process_parts *p, struct file *new, struct buf *why) {
  enum err e = check_roles(p, new, why);
  if (!e && p->scheduler)
    e = scheduler_prepare(p->scheduler, new->endpoints, new->endpoint_count);
  if (!e && p->edge)
    e = edge_reload(p->edge, new, why);
  if (!e && p->scheduler)
    scheduler_reload(p->scheduler, new->endpoints, new->endpoint_count);
  return e;
}

static void warn(const struct process_parts *p) {
  if (!p->edge)
    return;
  struct buf warnings = BUF_INIT(4096);
  host_warnings(&p->file->config, &warnings);
  log_lines("headrace", warnings.data ? warnings.data : "");
  buf_free(&warnings);
}

static enum err reload_file(struct process_parts *p, struct buf *why) {
  struct file *new = NULL;
  if (p->stopping) {
    buf_str(why, "the process is stopping; start it again to read the configuration");
    return ERR_CLOSED;
  }
  enum err e = file_reload(p->config_path, p->file, &new, why);
  if (!e)
    e = reload_try(p, new, why);
  if (e) {
    file_free(new);
    return e;
  }
  if (p->file != p->first)
    file_free(p->file);
  config_forget_keys(&new->config);
  p->file = new;
  return OK;
}

static bool reload(void *user, struct buf *why) {
  struct process_parts *p = user;
  enum err e = reload_file(p, why);
  if (e && why->len == 0)
    buf_str(why, "out of memory");
  if (why->len && why->data[why->len - 1] != '\n')
    buf_str(why, "\n");
  if (e) {
    p->reloads.refused++;
    log_line("headrace", "the configuration was read again and is not taken:");
    log_lines("headrace", why->data ? why->data : "out of memory");
    return false;
  }
  p->reloads.taken++;
  p->reloads.last_us = clock_wall();
  log_line("headrace", "the configuration was read again and is in force");
  warn(p);
  return true;
}

static void reload_asked(evutil_socket_t fd, short what, void *user) {
  struct buf why = BUF_INIT(64 * 1024);
  reload(user, &why);
  buf_free(&why);
}

static void reopen_asked(evutil_socket_t fd, short what, void *user) {
  struct process_parts *p = user;
  struct buf why = BUF_INIT(4096);
  if (p->edge && edge_reopen_log(p->edge, &why) != OK)
    log_lines("headrace", why.data ? why.data : "out of memory");
  else
    log_line("headrace", "the access log was opened again");
  buf_free(&why);
}

static bool signal_open(struct process_parts *p, int number, event_callback_fn asked,
                        struct event **out) {
  *out = evsignal_new(p->loop->base, number, asked, p);
  return *out && event_add(*out, NULL) == 0;
}

static enum err signals_open(struct process_parts *p) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a log as long as it may be is as a full disk */
  return signal_open(p, SIGTERM, stop_asked, &p->term) &&
                 signal_open(p, SIGINT, stop_asked, &p->interrupt) &&
                 signal_open(p, SIGHUP, reload_asked, &p->hangup) &&
                 signal_open(p, SIGUSR1, reopen_asked, &p->reopen)
             ? OK
             : ERR_MEMORY;
}

static enum err store_start(struct process_parts *p) {
  if (!store_identify(p->id))
    return ERR_IO;
  p->loop = loop_new(MAIN_CHUNK_BYTES);
  p->store =
      p->loop ? store_open(p->loop, &p->file->config, p->id, (p->roles & RUN_PROXY) != 0) : NULL;
  if (!p->store)
    return ERR_MEMORY;
  p->watch = (struct store_watch){.user = p, .problem = store_problem, .link = store_link_changed};
  store_watch(p->store, &p->watch);
  return signals_open(p);
}

static enum err parts_open(struct process_parts *p, struct buf *why) {
  enum err e = file_load(p->config_path, &p->file, why);
  p->first = p->file;
  p->reloads.last_us = clock_wall();
  if (!e)
    e = check_roles(p, p->file, why);
  if (!e)
    e = host_enter(p->config_path, p->file, why);
  if (!e)
    e = store_start(p);
  if (!e && (p->roles & RUN_PROXY))
    e = edge_new(p->loop, p->store, &p->file->config, p->id, &p->edge, why);
  if (e)
    return e;
  if (p->roles & RUN_SCHEDULER) {
    p->scheduler = scheduler_new(p->loop, p->store, &p->file->scheduler, p->file->config.lease_ms,
                                 p->file->endpoints, p->file->endpoint_count, scheduler_says, p);
    if (!p->scheduler)
      return ERR_MEMORY;
  }
  e = admin_new(p->loop, &p->file->config.admin, p->store, p->edge, p->scheduler, &p->reloads,
                &p->admin, why);
  if (!e)
    admin_on_reload(p->admin, reload, p);
  config_forget_keys(&p->file->config);
  if (!e)
    warn(p);
  if (!e)
    e = timer_set(p->loop, &p->greet_timer, loop_now(p->loop));
  return e;
}

static void parts_close(struct process_parts *p) {
  struct timer *const timers[] = {&p->greet_timer, &p->hurry_timer, &p->leave_timer};
  for (size_t i = 0; p->loop && i < sizeof timers / sizeof(*timers); i++)
    timer_cancel(p->loop, timers[i]); /* what is closed may take turns of the loop */
  admin_free(p->admin);
  if (p->edge)
    edge_stop(p->edge, true, NULL, NULL);
  edge_free(p->edge);
  scheduler_free(p->scheduler);
  if (p->store)
    store_unwatch(p->store, &p->watch);
  store_free(p->store);
  struct event *const signals[] = {p->term, p->interrupt, p->hangup, p->reopen};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    if (signals[i])
      event_free(signals[i]);
  loop_free(p->loop);
  if (p->file != p->first)
    file_free(p->file);
  file_free(p->first);
}

int run(const char *config_path, enum run_roles roles) {
  struct process_parts p = {.config_path = config_path, .roles = roles};
  struct buf why = BUF_INIT(64 * 1024);
  timer_init(&p.hurry_timer, hurry);
  timer_init(&p.greet_timer, greet);
  timer_init(&p.leave_timer, leave_late);
  list_init(&p.watch.node);
  enum err e = parts_open(&p, &why);
  if (e)
    fprintf(stderr, "%s%s", why.data ? why.data : "out of memory",
            why.len && why.data[why.len - 1] == '\n' ? "" : "\n");
  else
    loop_run(p.loop);
  buf_free(&why);
  parts_close(&p);
  return e ? 1 : 0;
}

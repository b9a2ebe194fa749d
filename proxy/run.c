#include "proxy/run.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/notify.h"
#include "lib/net/handed.h"
#include "proxy/admin.h"
#include "proxy/edge.h"
#include "proxy/file.h"
#include "proxy/greeting.h"
#include "proxy/host.h"
#include "proxy/run_own.h"
#include "proxy/upgrade.h"
#include "scheduler/scheduler.h"

enum { MAIN_CHUNK_BYTES = 1 << 20, WATCHDOG_SHARE = 2 };

void log_line(const char *who, const char *text) {
  char when[32];
  time_t now = time(NULL);
  struct tm tm;
  gmtime_r(&now, &tm);
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
  fprintf(stderr, "%s %s: %s\n", when, who, text);
}

/* What a role needs of the file. */
enum err check_roles(const struct process_parts *p, const struct file *file, struct buf *why) {
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

/* A worker that hangs is the watchdog's to see. */
static void watchdog(struct timer *t) {
  struct process_parts *p = container_of(t, struct process_parts, watchdog_timer);
  if (!p->edge || edge_beats(p->edge))
    notify_say("WATCHDOG=1");
  if (timer_set(p->loop, t, loop_now(p->loop) + notify_watchdog() / WATCHDOG_SHARE) != OK)
    abort();
}

/* An answer, or its end without one: either way the process before is no more in our place. */
static void before_left(evutil_socket_t fd, short what, void *user) {
  struct process_parts *p = user;
  char byte;
  ssize_t n = recv(fd, &byte, 1, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n > 0) /* it has left us all of its files */
    handed_remove_files(p->handed);
  admin_own_file(p->admin);
  if (p->edge) {
    edge_own_files(p->edge, true);
    edge_open_late(p->edge);
  }
  event_free(p->before);
  p->before = NULL;
  p->handed = handed_free(p->handed);
}

/* Who serves in our place is followed from the start: it may end before we are ready. Without one
 * nobody is served until our doors are open. */
static enum err before_follow(struct process_parts *p) {
  int fd = handed_before(p->handed);
  if (fd < 0) {
    p->handed = handed_free(p->handed);
    if (p->edge)
      edge_open_late(p->edge);
    return OK;
  }
  p->before = event_new(p->loop->base, fd, EV_READ | EV_PERSIST, before_left, p);
  return p->before && event_add(p->before, NULL) == 0 ? OK : ERR_MEMORY;
}

static void there(struct process_parts *p) {
  greeting_print(p->file);
  notify_say("READY=1\nMAINPID=%d", (int)getpid());
  if (p->before)
    handed_ready(p->handed, p->id);
}

/* When the fleet is known, the doors are open to some purpose. Who takes a place over has reached
 * the store, too. */
static bool is_ready(const struct process_parts *p) {
  return (!p->edge || edge_ready(p->edge)) && (!p->before || p->store->link.up);
}

static void greet(struct timer *t) {
  struct process_parts *p = container_of(t, struct process_parts, greet_timer);
  if (is_ready(p) || timer_set(p->loop, t, loop_now(p->loop) + 10 * USEC_PER_MS) != OK)
    there(p);
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
                 signal_open(p, SIGUSR1, reopen_asked, &p->reopen) &&
                 signal_open(p, SIGUSR2, upgrade_asked, &p->user2)
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
    e = edge_new(p->loop, p->store, &p->file->config, p->id, p->handed, &p->edge, why);
  if (e)
    return e;
  if (p->roles & RUN_SCHEDULER) {
    p->scheduler = scheduler_new(p->loop, p->store, &p->file->scheduler, p->file->config.lease_ms,
                                 p->file->endpoints, p->file->endpoint_count, scheduler_says, p);
    if (!p->scheduler)
      return ERR_MEMORY;
  }
  e = admin_new(p->loop, &p->file->config.admin, p->store, p->edge, p->scheduler, &p->reloads,
                p->handed, &p->admin, why);
  if (!e)
    admin_on_reload(p->admin, reload, p);
  if (!e)
    e = before_follow(p);
  config_forget_keys(&p->file->config);
  if (!e)
    log_warnings(p);
  if (!e)
    e = timer_set(p->loop, &p->greet_timer, loop_now(p->loop));
  if (!e && notify_watchdog())
    e = timer_set(p->loop, &p->watchdog_timer, loop_now(p->loop));
  return e;
}

static void parts_close(struct process_parts *p) {
  struct timer *const timers[] = {&p->greet_timer, &p->hurry_timer, &p->leave_timer,
                                  &p->watchdog_timer, &p->log_timer};
  for (size_t i = 0; p->loop && i < sizeof timers / sizeof(*timers); i++)
    timer_cancel(p->loop, timers[i]); /* what is closed may take turns of the loop */
  upgrade_free(p->upgrade);
  if (p->before)
    event_free(p->before);
  handed_free(p->handed);
  admin_free(p->admin);
  if (p->edge)
    edge_stop(p->edge, true, NULL, NULL);
  edge_free(p->edge);
  scheduler_free(p->scheduler);
  if (p->store)
    store_unwatch(p->store, &p->watch);
  store_free(p->store);
  struct event *const signals[] = {p->term, p->interrupt, p->hangup, p->reopen, p->user2};
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
  timer_init(&p.watchdog_timer, watchdog);
  timer_init(&p.log_timer, log_follow);
  list_init(&p.watch.node);
  upgrade_know_program();
  notify_take();
  p.handed = handed_take();
  enum err e = p.handed ? parts_open(&p, &why) : ERR_MEMORY;
  if (e)
    fprintf(stderr, "%s%s", why.data ? why.data : "out of memory",
            why.len && why.data[why.len - 1] == '\n' ? "" : "\n");
  else
    loop_run(p.loop);
  buf_free(&why);
  parts_close(&p);
  return e || p.deserted ? 1 : 0;
}

/* What a running process is told: stop, read the configuration again, let another one take over. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/notify.h"
#include "lib/net/handed.h"
#include "proxy/admin.h"
#include "proxy/edge.h"
#include "proxy/file.h"
#include "proxy/host.h"
#include "proxy/run_own.h"
#include "proxy/upgrade.h"
#include "scheduler/scheduler.h"

enum { LEAVE_MOST_S = 2, LOG_LOOK_US = 250 * 1000 };

/* From the edge to the scheduler to the store: each ends when the one before is done. */
static void store_left(void *user, enum err e) {
  struct process_parts *p = user;
  loop_stop(p->loop);
}

void leave_late(struct timer *t) {
  store_left(container_of(t, struct process_parts, leave_timer), ERR_TIMEOUT);
}

static void leave_store(struct process_parts *p) {
  if (timer_set(p->loop, &p->leave_timer, loop_now(p->loop) + LEAVE_MOST_S * USEC_PER_S) != OK)
    loop_stop(p->loop);
  store_leave(p->store, (struct store_reply){p, store_left});
}

static void scheduler_done(void *user) {
  struct process_parts *p = user;
  p->scheduler_stopped = true;
  if (p->edge_stopped)
    leave_store(p);
}

static void edge_done(void *user) {
  struct process_parts *p = user;
  p->edge_stopped = true;
  if (!p->scheduler || p->scheduler_stopped)
    leave_store(p);
  else if (!p->scheduler_stops)
    scheduler_stop(p->scheduler, scheduler_done, p);
}

void hurry(struct timer *t) {
  struct process_parts *p = container_of(t, struct process_parts, hurry_timer);
  edge_stop(p->edge, true, edge_done, p);
}

/* The doors close, and what runs may end. */
static void stop(struct process_parts *p, bool now) {
  p->stopping = true;
  admin_stopping(p->admin);
  if (!p->edge) {
    edge_done(p);
    return;
  }
  usec_t at = loop_now(p->loop) + p->file->config.drain_s * USEC_PER_S;
  if (!now && timer_set(p->loop, &p->hurry_timer, at) != OK)
    now = true;
  edge_stop(p->edge, now, edge_done, p);
}

void stop_asked(evutil_socket_t fd, short what, void *user) {
  struct process_parts *p = user;
  bool now = p->told;
  p->told = true;
  log_line("headrace", now ? "stopping at once" : "stopping: requests may end; again to hurry");
  if (!p->stopping) {
    notify_say("STOPPING=1");
    p->upgrade = upgrade_free(p->upgrade);
    stop(p, false);
  } else if (now && p->edge) {
    stop(p, true);
  }
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

void log_warnings(const struct process_parts *p) {
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
  if (p->upgrade) {
    buf_str(why, "another process is taking the place of this one; reload that one in a moment");
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

bool reload(void *user, struct buf *why) {
  struct process_parts *p = user;
  notify_say("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_mono());
  enum err e = reload_file(p, why);
  notify_say("READY=1");
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
  log_warnings(p);
  return true;
}

void reload_asked(evutil_socket_t fd, short what, void *user) {
  struct buf why = BUF_INIT(64 * 1024);
  reload(user, &why);
  buf_free(&why);
}

static void log_reopen(struct process_parts *p) {
  struct buf why = BUF_INIT(4096);
  if (p->edge && edge_reopen_log(p->edge, &why) != OK)
    log_lines("headrace", why.data ? why.data : "out of memory");
  else
    log_line("headrace", "the access log was opened again");
  buf_free(&why);
}

void reopen_asked(evutil_socket_t fd, short what, void *user) {
  log_reopen(user);
}

/* Who rotates logs knows of the process only that serves by now. */
void log_follow(struct timer *t) {
  struct process_parts *p = container_of(t, struct process_parts, log_timer);
  if (edge_log_moved(p->edge))
    log_reopen(p);
  if (timer_set(p->loop, t, loop_now(p->loop) + LOG_LOOK_US) != OK)
    log_line("headrace", "out of memory: the access log's file is not looked for any more");
}

/* The new process has the doors; who is here may end. */
static void new_ready(void *user, pid_t pid, const char *id) {
  struct process_parts *p = user;
  char text[256];
  if (p->scheduler && scheduler_hand_over(p->scheduler, id, scheduler_done, p) != OK) {
    upgrade_give_up(p->upgrade, "the store is away");
    return;
  }
  snprintf(text, sizeof text, "the new process %d takes over; requests here may end", (int)pid);
  log_line("headrace", text);
  notify_say("MAINPID=%d\nWATCHDOG=1", (int)pid);
  admin_hand_over(p->admin);
  if (p->edge)
    edge_own_files(p->edge, false);
  upgrade_answer(p->upgrade);
  p->scheduler_stops = p->scheduler != NULL;
  stop(p, false);
  if (p->edge)
    log_follow(&p->log_timer);
}

/* Nobody has the doors any more, and a service manager starts another process only when this one is
 * gone, too. One that was told to stop is to stay away. */
static void new_left(void *user, pid_t pid, bool in_order) {
  struct process_parts *p = user;
  char text[256];
  p->upgrade = upgrade_free(p->upgrade);
  if (in_order || p->told)
    return;
  p->deserted = true;
  snprintf(text, sizeof text,
           "the new process %d has died, and nobody serves: stopping at once, so that another one "
           "can be started",
           (int)pid);
  log_line("headrace", text);
  if (p->edge)
    stop(p, true);
}

static void new_ended(void *user, pid_t pid, const char *why) {
  struct process_parts *p = user;
  char text[256];
  snprintf(text, sizeof text, "the new process %d does not take over: %s", (int)pid, why);
  log_line("headrace", text);
  p->upgrade = upgrade_free(p->upgrade);
}

static const char *upgrade_refusal(const struct process_parts *p) {
  if (p->stopping)
    return "the process is stopping";
  if (p->before)
    return "the process before has not left yet";
  if (p->upgrade)
    return "another one is getting ready already";
  if (p->file->config.store != CONFIG_STORE_REDIS)
    return "what the memory store knows is in this process alone; set store.kind to \"redis\", or "
           "stop this process and start another";
  if (!p->store->link.up)
    return "the store is away; try again when it is back";
  return NULL;
}

static bool fit(const struct handed_list *sockets, struct buf *why) {
  if (sockets->left_out)
    buf_printf(why,
               "%d sockets listen here (one a worker and listener), and %d can be handed over; set "
               "fewer workers or listeners, or stop this process and start another",
               sockets->count + sockets->left_out, HANDED_MAX);
  return sockets->left_out == 0;
}

void upgrade_asked(evutil_socket_t fd, short what, void *user) {
  struct process_parts *p = user;
  static const struct upgrade_events events = {
      .ready = new_ready, .ended = new_ended, .left = new_left};
  static const char *const names[] = {
      [RUN_PROXY] = "proxy", [RUN_SCHEDULER] = "scheduler", [RUN_BOTH] = "run"};
  const char *const arguments[] = {names[p->roles], "-c", p->config_path, NULL};
  static struct handed_list sockets;
  struct buf text = BUF_INIT(4096);
  const char *refusal = upgrade_refusal(p);
  sockets.count = sockets.left_out = 0;
  if (!refusal) {
    admin_sockets(p->admin, &sockets);
    if (p->edge)
      edge_sockets(p->edge, &sockets);
    if (!fit(&sockets, &text) ||
        upgrade_start(p->loop, arguments, &sockets, &events, p, &p->upgrade, &text) != OK)
      refusal = text.data ? text.data : "out of memory";
  }
  char line[1024] = "a new process is getting ready to take over";
  if (refusal)
    snprintf(line, sizeof line, "no new process takes over: %s", refusal);
  log_line("headrace", line);
  buf_free(&text);
}

/* The inside of a running process, shared by run.c (coming and going) and run_change.c (what it is
 * told meanwhile) only. */
#pragma once

#include <event2/util.h>
#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/net/loop.h"
#include "lib/store/store.h"
#include "proxy/report.h"
#include "proxy/run.h"
#include "proxy/store_open.h"

struct admin;
struct buf;
struct edge;
struct event;
struct file;
struct handed;
struct scheduler;
struct upgrade;

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
  struct handed *handed;   /* until who had the doors before has left them to us */
  struct event *before;    /* what that one says */
  struct upgrade *upgrade; /* while another process is getting ready */
  struct report_reloads reloads;
  struct event *term, *interrupt, *hangup, *reopen, *user2;
  struct timer hurry_timer, greet_timer, leave_timer, watchdog_timer, log_timer;
  bool stopping, edge_stopped; /* stopping: it was told so, or has left its place to another */
  bool told;                   /* by a signal */
  bool deserted;               /* who took its place has died */
  bool scheduler_stops, scheduler_stopped; /* it may stop before the edge has */
  bool was_up, was_down;
};

/* A line on standard error, with the time. */
void log_line(const char *who, const char *text);
/* What an operator should know about this host. */
void log_warnings(const struct process_parts *p);
/* What the roles need of the file. */
enum err check_roles(const struct process_parts *p, const struct file *file,
                     struct buf *why) MUST_CHECK;

/* SIGTERM and SIGINT, SIGHUP, SIGUSR1, SIGUSR2; and POST /reload of the admin. */
void stop_asked(evutil_socket_t fd, short what, void *user);
void reload_asked(evutil_socket_t fd, short what, void *user);
void reopen_asked(evutil_socket_t fd, short what, void *user);
void upgrade_asked(evutil_socket_t fd, short what, void *user);
bool reload(void *user, struct buf *why);
/* Timers: running requests have had their time; and so has the farewell to the store; the access
 * log of a process that has left its place is looked after. */
void hurry(struct timer *t);
void leave_late(struct timer *t);
void log_follow(struct timer *t);

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
#include "proxy/tokens.h"
#include "scheduler/scheduler.h"

enum { MAIN_CHUNK_BYTES = 1 << 20, SHUTDOWN_GRACE_S = 30 };

/* From the ground up; taken down the other way round. */
struct process_parts {
  struct file *file;
  const char *config_path;
  struct loop *loop;
  struct store *store;
  struct scheduler *scheduler;
  struct edge *edge;
  struct tokens *tokens;
  struct admin *admin;
  struct event *term, *interrupt;
  struct timer hurry_timer, greet_timer;
  bool stopping;
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

static void tokens_changed(void *user, struct token_set *set) {
  struct process_parts *p = user;
  edge_tokens(p->edge, set);
}

static void tokens_problem(void *user, const char *text) {
  log_line("tokens", text);
}

static void scheduler_done(void *user) {
  struct process_parts *p = user;
  loop_stop(p->loop);
}

static void edge_done(void *user) {
  struct process_parts *p = user;
  scheduler_stop(p->scheduler, scheduler_done, p);
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
  if (!now &&
      timer_set(p->loop, &p->hurry_timer, loop_now(p->loop) + SHUTDOWN_GRACE_S * USEC_PER_S) != OK)
    now = true;
  edge_stop(p->edge, now, edge_done, p);
}

static enum err signals_open(struct process_parts *p) {
  signal(SIGPIPE, SIG_IGN);
  p->term = evsignal_new(p->loop->base, SIGTERM, stop_asked, p);
  p->interrupt = evsignal_new(p->loop->base, SIGINT, stop_asked, p);
  return p->term && p->interrupt && event_add(p->term, NULL) == 0 &&
                 event_add(p->interrupt, NULL) == 0
             ? OK
             : ERR_MEMORY;
}

/* When the fleet is known, the doors are open to some purpose. */
static void greet(struct timer *t) {
  struct process_parts *p = container_of(t, struct process_parts, greet_timer);
  if (edge_ready(p->edge) || p->file->endpoint_count == 0)
    greeting_print(p->file);
  else if (timer_set(p->loop, t, loop_now(p->loop) + 10 * USEC_PER_MS) != OK)
    greeting_print(p->file);
}

static enum err parts_open(struct process_parts *p, struct buf *why) {
  enum err e = file_load(p->config_path, &p->file, why);
  if (e)
    return e;
  p->loop = loop_new(MAIN_CHUNK_BYTES);
  p->store = p->loop ? memory_store_new(p->loop) : NULL;
  if (!p->store || signals_open(p) != OK)
    return ERR_MEMORY;
  e = edge_new(p->loop, p->store, &p->file->config, &p->edge, why);
  if (e)
    return e;
  p->scheduler = scheduler_new(p->loop, p->store, &p->file->scheduler, p->file->endpoints,
                               p->file->endpoint_count, scheduler_says, p);
  p->tokens = tokens_new(p->loop, p->file->config.token_file, tokens_changed, tokens_problem, p);
  if (!p->scheduler || !p->tokens)
    return ERR_MEMORY;
  e = admin_new(p->loop, &p->file->config.admin, p->edge, p->scheduler, &p->admin, why);
  if (!e)
    e = timer_set(p->loop, &p->greet_timer, loop_now(p->loop));
  return e;
}

static void parts_close(struct process_parts *p) {
  admin_free(p->admin);
  tokens_free(p->tokens);
  if (p->edge)
    edge_stop(p->edge, true, NULL, NULL);
  edge_free(p->edge);
  scheduler_free(p->scheduler);
  store_free(p->store);
  if (p->term)
    event_free(p->term);
  if (p->interrupt)
    event_free(p->interrupt);
  loop_free(p->loop);
  file_free(p->file);
}

int run(const char *config_path) {
  struct process_parts p = {.config_path = config_path};
  struct buf why = BUF_INIT(64 * 1024);
  timer_init(&p.hurry_timer, hurry);
  timer_init(&p.greet_timer, greet);
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

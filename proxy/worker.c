#include "proxy/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/pool.h"
#include "lib/fleet/token.h"
#include "lib/net/address.h"
#include "lib/net/listen.h"
#include "proxy/client/client.h"
#include "proxy/client/http2.h"
#include "proxy/config/config.h"
#include "proxy/door.h"
#include "proxy/replica/pool.h"
#include "proxy/request/access_log.h"
#include "proxy/request/request.h"
#include "proxy/steps/steps.h"

enum {
  KEEP_OBJECTS = 1024, /* freed ones kept for the next */
  KEEP_ARENA_BLOCKS = 4096,
  STOP_LOOK_US = 20 * 1000,
};

struct worker_door {
  struct worker *worker;
  const struct client_door *client;
  struct listener *listener;
};

struct worker_thread {
  struct worker worker;
  pthread_t thread;
  bool started, ended;
  struct doors *sockets; /* to be taken when the doors open */
  struct worker_door *doors;
  int door_count;
  struct timer stop_timer;
};

struct worker_mail {
  struct mail mail;
  struct worker_thread *thread;
  struct fleet_news *news;
  struct token_set *tokens;
  bool now;
};

static void accepted(void *user, int fd, const struct sockaddr_storage *peer) {
  struct worker_door *d = user;
  client_accept(d->worker, d->client, fd, peer);
}

static enum err pools_open(struct worker *w) {
  w->requests = pool_new(sizeof(struct request), KEEP_OBJECTS, 0);
  w->arena_blocks = pool_new(ARENA_BLOCK_BYTES, KEEP_ARENA_BLOCKS, 0);
  w->clients = pool_new(sizeof(struct client), KEEP_OBJECTS, (size_t)w->config->connections_max);
  w->streams = pool_new(sizeof(struct http2_stream), KEEP_OBJECTS, 0);
  w->fields = calloc(WORKER_FIELDS_MAX, sizeof *w->fields);
  w->head_bytes = malloc(WORKER_HEAD_BYTES);
  bool good =
      w->requests && w->arena_blocks && w->clients && w->streams && w->fields && w->head_bytes;
  return good ? pool_open(w) : ERR_MEMORY;
}

static enum err trusted_read(struct worker *w) {
  int n = 0;
  while (w->config->trusted_peers && w->config->trusted_peers[n])
    n++;
  w->trusted = calloc((size_t)n + 1, sizeof *w->trusted);
  if (!w->trusted)
    return ERR_MEMORY;
  for (int i = 0; i < n; i++)
    if (address_range_parse(w->config->trusted_peers[i], &w->trusted[w->trusted_count]) == OK)
      w->trusted_count++;
  return OK;
}

static enum err worker_open(struct worker *w, int log_fd) {
  w->steps = request_path;
  w->response_steps = response_path;
  for (w->finish = request_path; w->finish[1].name; w->finish++)
    ;
  list_init(&w->held);
  list_init(&w->open_clients);
  list_init(&w->replica_links);
  w->loop = loop_new((size_t)w->config->chunk_memory_bytes);
  enum err e = w->loop ? pools_open(w) : ERR_MEMORY;
  if (!e)
    e = trusted_read(w);
  if (!e)
    e = fleet_init(&w->fleet, w->config->domain, w->config->model_hosts);
  if (!e)
    w->log = access_log_new(w->loop, log_fd);
  if (!e && !w->log)
    e = ERR_MEMORY;
  if (!e && getrandom(&w->request_seed, sizeof w->request_seed, 0) != sizeof w->request_seed)
    e = ERR_IO;
  return e;
}

static enum err listeners_open(struct worker_thread *t) {
  struct doors *doors = t->sockets;
  t->doors = calloc((size_t)doors_count(doors) + 1, sizeof *t->doors);
  if (!t->doors)
    return ERR_MEMORY;
  for (int i = 0; i < doors_count(doors); i++) {
    struct worker_door *d = &t->doors[t->door_count++];
    d->worker = &t->worker;
    d->client = doors_at(doors, i);
    enum err e = listener_open(t->worker.loop, doors_take_socket(doors, i, t->worker.index),
                               accepted, d, &d->listener);
    if (e)
      return e;
  }
  return OK;
}

static void listeners_close(struct worker_thread *t) {
  for (int i = 0; i < t->door_count; i++)
    t->doors[i].listener = listener_free(t->doors[i].listener);
}

static void clients_close(struct worker *w) {
  list_each (node, &w->open_clients)
    client_close(container_of(node, struct client, node), false);
}

/* Whether the last client has gone; then the loop may end. */
static void look_whether_done(struct timer *timer) {
  struct worker_thread *t = container_of(timer, struct worker_thread, stop_timer);
  struct worker *w = &t->worker;
  if (list_empty(&w->open_clients) ||
      timer_set(w->loop, &t->stop_timer, loop_now(w->loop) + STOP_LOOK_US) != OK)
    loop_stop(w->loop);
}

enum err worker_new(struct process *p, int index, struct worker_cell *cell, struct doors *doors,
                    int log_fd, struct worker_thread **out) {
  struct worker_thread *t = calloc(1, sizeof *t);
  if (!t)
    return ERR_MEMORY;
  t->worker.process = p;
  t->worker.config = p->config;
  t->worker.index = index;
  t->worker.cell = cell;
  timer_init(&t->stop_timer, look_whether_done);
  enum err e = worker_open(&t->worker, log_fd);
  t->sockets = doors;
  if (e)
    worker_free(t);
  else
    *out = t;
  return e;
}

struct worker *worker_of(struct worker_thread *t) {
  return &t->worker;
}

static void *thread_run(void *user) {
  struct worker_thread *t = user;
  loop_run(t->worker.loop);
  clients_close(&t->worker);
  loop_turn(t->worker.loop, false); /* what was closed is freed */
  access_log_flush(t->worker.log);
  atomic_fetch_sub(&t->worker.process->running, 1);
  return NULL;
}

enum err worker_start(struct worker_thread *t) {
  sigset_t all, before;
  sigfillset(&all); /* signals are the main thread's */
  pthread_sigmask(SIG_SETMASK, &all, &before);
  atomic_fetch_add(&t->worker.process->running, 1);
  t->started = pthread_create(&t->thread, NULL, thread_run, t) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!t->started)
    atomic_fetch_sub(&t->worker.process->running, 1);
  return t->started ? OK : ERR_MEMORY;
}

/* Held requests look again when something may have changed for them. */
static void wake_held(struct worker *w, const struct endpoint *of) {
  list_each (node, &w->held) {
    struct request *r = container_of(node, struct request, node);
    if (!of || r->endpoint == of)
      request_wake(r);
  }
}

static void news_came(struct mail *m) {
  struct worker_mail *wm = container_of(m, struct worker_mail, mail);
  struct worker *w = &wm->thread->worker;
  struct endpoint *e = fleet_apply(w, wm->news);
  if (e)
    wake_held(w, e);
  if (e && e->gone)
    endpoint_unref(e);
  fleet_news_free(wm->news);
  free(wm);
}

static void tokens_came(struct mail *m) {
  struct worker_mail *wm = container_of(m, struct worker_mail, mail);
  struct worker *w = &wm->thread->worker;
  token_set_unref(w->tokens);
  w->tokens = wm->tokens;
  wake_held(w, NULL);
  free(wm);
}

static void open_came(struct mail *m) {
  struct worker_mail *wm = container_of(m, struct worker_mail, mail);
  struct worker_thread *t = wm->thread;
  t->worker.fleet_known = wm->now;
  free(wm);
  if (!t->doors && !t->worker.stopping && listeners_open(t) != OK)
    abort(); /* nobody would be let in */
}

static void stop_came(struct mail *m) {
  struct worker_mail *wm = container_of(m, struct worker_mail, mail);
  struct worker_thread *t = wm->thread;
  struct worker *w = &t->worker;
  bool now = wm->now;
  free(wm);
  for (int i = 0; i < t->door_count; i++)
    t->doors[i].listener = listener_finish(t->doors[i].listener);
  w->stopping = true;
  list_each (node, &w->open_clients) {
    struct client *c = container_of(node, struct client, node);
    if (now)
      client_close(c, false);
    else if (c->protocol) /* others have not said anything yet; their first request is served */
      c->protocol->stop(c);
  }
  look_whether_done(&t->stop_timer);
}

static struct worker_mail *mail_new(struct worker_thread *t, void (*deliver)(struct mail *m)) {
  struct worker_mail *wm = calloc(1, sizeof *wm);
  if (wm) {
    wm->mail.deliver = deliver;
    wm->thread = t;
  }
  return wm;
}

enum err worker_news(struct worker_thread *t, struct fleet_news *n) {
  struct worker_mail *wm = mail_new(t, news_came);
  if (!wm)
    return ERR_MEMORY;
  wm->news = n;
  loop_send(t->worker.loop, &wm->mail);
  return OK;
}

enum err worker_tokens(struct worker_thread *t, struct token_set *s) {
  struct worker_mail *wm = mail_new(t, tokens_came);
  if (!wm)
    return ERR_MEMORY;
  wm->tokens = s ? token_set_ref(s) : NULL;
  loop_send(t->worker.loop, &wm->mail);
  return OK;
}

enum err worker_open_doors(struct worker_thread *t, bool known) {
  struct worker_mail *wm = mail_new(t, open_came);
  if (!wm)
    return ERR_MEMORY;
  wm->now = known;
  loop_send(t->worker.loop, &wm->mail);
  return OK;
}

void worker_stop(struct worker_thread *t, bool now) {
  struct worker_mail *wm = mail_new(t, stop_came);
  if (!wm)
    return;
  wm->now = now;
  loop_send(t->worker.loop, &wm->mail);
}

void worker_join(struct worker_thread *t) {
  if (t->started)
    pthread_join(t->thread, NULL);
  t->started = false;
}

/* Runs what is still posted: closed things are freed by posts and mail. */
static void worker_settle(struct worker *w) {
  mailbox_deliver(&w->loop->mailbox);
  clients_close(w);
  for (int i = 0; i < 3; i++)
    loop_turn(w->loop, false);
}

struct worker_thread *worker_free(struct worker_thread *t) {
  if (!t)
    return NULL;
  struct worker *w = &t->worker;
  listeners_close(t);
  if (w->loop && w->head_bytes) {
    pool_close_links(w);
    worker_settle(w);
    fleet_close(&w->fleet);
  }
  free(t->doors);
  token_set_unref(w->tokens);
  access_log_free(w->log);
  w->requests = pool_free(w->requests);
  w->arena_blocks = pool_free(w->arena_blocks);
  w->clients = pool_free(w->clients);
  w->streams = pool_free(w->streams);
  pool_close(w);
  free(w->fields);
  free(w->head_bytes);
  free(w->trusted);
  loop_free(w->loop);
  free(t);
  return NULL;
}

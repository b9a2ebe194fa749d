#include "proxy/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/pool.h"
#include "lib/fleet/token.h"
#include "lib/net/address.h"
#include "lib/net/listen.h"
#include "proxy/client/client.h"
#include "proxy/client/http2.h"
#include "proxy/config/config.h"
#include "proxy/door.h"
#include "proxy/file.h"
#include "proxy/replica/pool.h"
#include "proxy/request/access_log.h"
#include "proxy/request/request.h"
#include "proxy/steps/steps.h"

enum {
  KEEP_OBJECTS = 1024, /* freed ones kept for the next */
  KEEP_ARENA_BLOCKS = 4096,
  STOP_LOOK_US = 20 * 1000,
  HALT_US = 1000 * 1000, /* for what is said last to be read */
};

struct worker_door {
  struct worker *worker;
  struct client_door *client; /* a reference */
  struct listener **listeners;
  int *sockets, count; /* while it is in the mail: what will be listened on ... */
  int kept;            /* ... or whose listeners it goes on with; -1: nobody's */
};

struct worker_thread {
  struct worker worker;
  pthread_t thread;
  bool started, ended;
  _Atomic bool left; /* the thread has no client any more and takes no mail */
  struct worker_door **doors;
  int door_count;
  struct file *file; /* what config is in, once it was read again; a reference */
  struct mail beat;
  _Atomic bool beat_sent; /* and not come yet */
  struct timer stop_timer;
  usec_t halt_at; /* the loop ends then, whoever is left; 0: not yet */
};

struct worker_mail {
  struct mail mail;
  struct worker_thread *thread;
  struct fleet_news *news;
  struct token_set *tokens;
  bool now;
};

/* Doors, and what is read again with them. */
struct worker_change {
  struct mail mail;
  struct worker_thread *thread;
  struct file *file; /* NULL: as before */
  struct address_range *trusted;
  int trusted_count;
  struct worker_door **doors; /* NULL: as before */
  int door_count;
};

static void accepted(void *user, int fd, const struct sockaddr_storage *peer) {
  struct worker_door *d = user;
  client_accept(d->worker, d->client, fd, peer);
}

static void accept_paused(void *user) {
  struct worker_door *d = user;
  cell_add(&d->worker->cell->accept_pauses, 1);
}

static const struct listener_events door_events = {.accepted = accepted, .paused = accept_paused};

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

static enum err trusted_read(const struct config *config, struct address_range **out, int *count) {
  int n = 0;
  while (config->trusted_peers && config->trusted_peers[n])
    n++;
  *count = 0;
  *out = calloc((size_t)n + 1, sizeof **out);
  if (!*out)
    return ERR_MEMORY;
  for (int i = 0; i < n; i++)
    if (address_range_parse(config->trusted_peers[i], &(*out)[*count]) == OK)
      ++*count;
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
    e = trusted_read(w->config, &w->trusted, &w->trusted_count);
  if (!e)
    e = fleet_init(&w->fleet, w->config->domain, w->config->model_hosts);
  if (!e)
    w->log = access_log_new(w->loop, log_fd, &w->cell->log_lines_dropped);
  if (!e && !w->log)
    e = ERR_MEMORY;
  if (!e && getrandom(&w->request_seed, sizeof w->request_seed, 0) != sizeof w->request_seed)
    e = ERR_IO;
  return e;
}

static struct worker_door *door_free(struct worker_door *d) {
  if (!d)
    return NULL;
  for (int i = 0; d->listeners && i < d->count; i++)
    listener_finish(d->listeners[i]);
  for (int i = 0; d->sockets && i < d->count; i++)
    close(d->sockets[i]);
  client_door_unref(d->client);
  free(d->listeners);
  free(d->sockets);
  free(d);
  return NULL;
}

/* Who has connected to a listener that goes is served still. */
static void doors_drop(struct worker_door **doors, int count) {
  for (int i = 0; doors && i < count; i++)
    door_free(doors[i]);
  free(doors);
}

static void door_inherit(struct worker_door *d, struct worker_door *before) {
  free(d->listeners);
  d->listeners = before->listeners;
  d->count = before->count;
  before->listeners = NULL;
  before->count = 0;
  for (int i = 0; i < d->count; i++)
    listener_redirect(d->listeners[i], d);
}

static void door_enter(struct worker_thread *t, struct worker_door *d) {
  if (d->kept >= 0) {
    door_inherit(d, t->doors[d->kept]);
    return;
  }
  for (int i = 0; i < d->count; i++)
    if (listener_open(t->worker.loop, d->sockets[i], &door_events, d, &d->listeners[i]) != OK)
      abort(); /* nobody would be let in */
  free(d->sockets);
  d->sockets = NULL;
}

static void clients_close(struct worker *w) {
  list_each (node, &w->open_clients)
    client_close(container_of(node, struct client, node), true);
}

/* Whether the last client has gone; then the loop may end. */
static void look_whether_done(struct timer *timer) {
  struct worker_thread *t = container_of(timer, struct worker_thread, stop_timer);
  struct worker *w = &t->worker;
  bool late = t->halt_at && loop_now(w->loop) >= t->halt_at;
  if (list_empty(&w->open_clients) || late ||
      timer_set(w->loop, &t->stop_timer, loop_now(w->loop) + STOP_LOOK_US) != OK)
    loop_stop(w->loop);
}

enum err worker_new(struct process *p, int index, struct worker_cell *cell, int log_fd,
                    struct worker_thread **out) {
  struct worker_thread *t = calloc(1, sizeof *t);
  if (!t)
    return ERR_MEMORY;
  t->worker.process = p;
  t->worker.config = p->config;
  t->worker.index = index;
  t->worker.cell = cell;
  timer_init(&t->stop_timer, look_whether_done);
  enum err e = worker_open(&t->worker, log_fd);
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
  atomic_store(&t->left, true);
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

static void known_came(struct mail *m) {
  struct worker_mail *wm = container_of(m, struct worker_mail, mail);
  wm->thread->worker.fleet_known = wm->now;
  free(wm);
}

static void file_change(struct worker_thread *t, struct worker_change *c) {
  struct worker *w = &t->worker;
  struct file *before = t->file;
  t->file = c->file;
  w->config = &c->file->config;
  free(w->trusted);
  w->trusted = c->trusted;
  w->trusted_count = c->trusted_count;
  pool_limit(w->clients, (size_t)w->config->connections_max);
  c->file = before; /* goes with the mail */
  c->trusted = NULL;
}

static void doors_change(struct worker_thread *t, struct worker_change *c) {
  struct worker_door **before = t->doors;
  int count = t->door_count;
  for (int i = 0; i < c->door_count; i++)
    door_enter(t, c->doors[i]);
  t->doors = c->doors;
  t->door_count = c->door_count;
  c->doors = before; /* go with the mail */
  c->door_count = count;
}

static void change_came(struct mail *m) {
  struct worker_change *c = container_of(m, struct worker_change, mail);
  if (c->file)
    file_change(c->thread, c);
  if (c->doors && !c->thread->worker.stopping)
    doors_change(c->thread, c);
  worker_change_free(c);
}

/* Who has not said anything yet may still bring one request. */
static void client_stop(struct client *c) {
  c->protocol ? c->protocol->stop(c) : client_expect_last(c);
}

static void client_halt(struct client *c) {
  c->protocol ? c->protocol->halt(c) : client_close(c, false);
}

static void stop_came(struct mail *m) {
  struct worker_mail *wm = container_of(m, struct worker_mail, mail);
  struct worker_thread *t = wm->thread;
  struct worker *w = &t->worker;
  bool now = wm->now;
  free(wm);
  doors_drop(t->doors, t->door_count);
  t->doors = NULL;
  t->door_count = 0;
  w->stopping = true;
  if (now && !t->halt_at)
    t->halt_at = loop_now(w->loop) + HALT_US;
  list_each (node, &w->open_clients) {
    struct client *c = container_of(node, struct client, node);
    now ? client_halt(c) : client_stop(c);
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

bool worker_left(const struct worker_thread *t) {
  return atomic_load(&t->left);
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

enum err worker_known(struct worker_thread *t, bool known) {
  struct worker_mail *wm = mail_new(t, known_came);
  if (!wm)
    return ERR_MEMORY;
  wm->now = known;
  loop_send(t->worker.loop, &wm->mail);
  return OK;
}

static enum err door_sockets(struct worker_door *d, const struct doors *doors, int i) {
  int worker = d->worker->index, count = doors_sockets(doors, i, worker);
  d->listeners = calloc((size_t)count + 1, sizeof *d->listeners);
  d->sockets = malloc(((size_t)count + 1) * sizeof *d->sockets);
  enum err e = d->listeners && d->sockets ? doors_take(doors, i, worker, d->sockets) : ERR_MEMORY;
  d->count = e ? 0 : count;
  return e;
}

static enum err change_doors(struct worker_change *c, const struct doors *doors, bool first) {
  c->doors = calloc((size_t)doors_count(doors) + 1, sizeof *c->doors);
  if (!c->doors)
    return ERR_MEMORY;
  for (int i = 0; i < doors_count(doors); i++) {
    struct worker_door *d = calloc(1, sizeof *d);
    if (!d)
      return ERR_MEMORY;
    *d = (struct worker_door){&c->thread->worker, client_door_ref(doors_at(doors, i)),
                              .kept = first ? -1 : doors_kept(doors, i)};
    c->doors[c->door_count++] = d;
    enum err e = d->kept < 0 ? door_sockets(d, doors, i) : OK;
    if (e)
      return e;
  }
  return OK;
}

struct worker_change *worker_change_new(struct worker_thread *t, struct file *file,
                                        const struct doors *doors, bool first) {
  struct worker_change *c = calloc(1, sizeof *c);
  if (!c)
    return NULL;
  c->mail.deliver = change_came;
  c->thread = t;
  c->file = file ? file_ref(file) : NULL;
  enum err e = file ? trusted_read(&file->config, &c->trusted, &c->trusted_count) : OK;
  if (!e && doors)
    e = change_doors(c, doors, first);
  return e ? worker_change_free(c) : c;
}

void worker_change_send(struct worker_change *c) {
  loop_send(c->thread->worker.loop, &c->mail);
}

struct worker_change *worker_change_free(struct worker_change *c) {
  if (!c)
    return NULL;
  doors_drop(c->doors, c->door_count);
  file_free(c->file);
  free(c->trusted);
  free(c);
  return NULL;
}

static void beat_came(struct mail *m) {
  struct worker_thread *t = container_of(m, struct worker_thread, beat);
  atomic_store(&t->beat_sent, false);
}

bool worker_beats(struct worker_thread *t) {
  if (atomic_exchange(&t->beat_sent, true))
    return false;
  t->beat.deliver = beat_came;
  loop_send(t->worker.loop, &t->beat);
  return true;
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
  doors_drop(t->doors, t->door_count);
  if (w->loop && w->head_bytes) {
    pool_close_links(w);
    worker_settle(w);
    fleet_close(&w->fleet);
  }
  file_free(t->file);
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

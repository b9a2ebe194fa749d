#include "bench/load/load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bench/load/conn.h"
#include "bench/load/exchange.h"
#include "bench/load/options.h"
#include "bench/load/slots.h"
#include "bench/load/sse.h"
#include "bench/load/summary.h"
#include "bench/load/tls_client.h"
#include "bench/load/url.h"
#include "lib/base/buf.h"

enum { EVENTS = 256, OTHER_DESCRIPTORS = 32 };
static const uint64_t SIGNALS = UINT64_MAX; /* what epoll says of the signals' descriptor */

void load_say(struct load *l, enum tally_error sort, const char *what) {
  if (!l->said[sort] && *what)
    fprintf(stderr, "headrace bench: %s error: %s\n", tally_error_names[sort], what);
  l->said[sort] = true;
}

/* ---- opening ---- */

static enum err descriptors_raise(size_t conns, struct buf *why) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit))
    return OK;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) || conns + OTHER_DESCRIPTORS <= limit.rlim_cur)
    return OK;
  buf_printf(why, "--connections: only %lu files may be open; take fewer, or raise ulimit -n",
             (unsigned long)limit.rlim_cur);
  return ERR_LIMIT;
}

static enum err target_open(struct load *l, const struct url *u, struct buf *why) {
  const struct options *o = l->options;
  enum err e = o->connect ? url_resolve_text(o->connect, &l->address, why)
                          : url_resolve(u->host, u->port, &l->address, why);
  if (e || !u->tls)
    return e;
  struct tls_client_settings s = {
      .ca_file = o->cacert, .name = u->host, .insecure = o->insecure, .resume = o->resume};
  return tls_client_new(&s, &l->tls, why);
}

static enum err kernel_open(struct load *l, struct buf *why) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  prctl(PR_SET_TIMERSLACK, 1UL);
  l->epoll = epoll_create1(EPOLL_CLOEXEC);
  l->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  struct epoll_event e = {.events = EPOLLIN, .data.u64 = SIGNALS};
  if (l->epoll < 0 || l->signals < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->signals, &e)) {
    buf_printf(why, "the kernel gives no epoll: %s", strerror(errno));
    return ERR_IO;
  }
  return OK;
}

static enum err memory_open(struct load *l) {
  const struct options *o = l->options;
  l->conn_count = (size_t)o->connections;
  l->conns = calloc(l->conn_count, sizeof *l->conns);
  l->exchanges = calloc(l->conn_count * (size_t)o->streams, sizeof *l->exchanges);
  l->tallies = calloc(WORKLOAD_KINDS, sizeof *l->tallies);
  l->raw = malloc(LOAD_READ_BYTES);
  l->plain = malloc(LOAD_READ_BYTES);
  l->out = malloc(LOAD_WRITE_BYTES);
  l->records = malloc(2 * LOAD_WRITE_BYTES);
  return l->conns && l->exchanges && l->tallies && l->raw && l->plain && l->out && l->records
             ? OK
             : ERR_MEMORY;
}

static int wanted_version(const struct load *l) {
  if (l->options->http == HTTP_AUTO)
    return l->tls ? 0 : 1;
  return l->options->http == HTTP_1 ? 1 : 2;
}

/* In a mix of protocols each has places by its share; one of HTTP/2 has `streams`. */
static size_t conns_of_http1(const struct load *l) {
  double one = workload_share(&l->workload, 1), two = workload_share(&l->workload, 2);
  double weight = two / l->options->streams;
  size_t n = (size_t)((double)l->conn_count * one / (one + weight) + 0.5);
  if (n == 0 && one > 0)
    n = 1;
  return n == l->conn_count && two > 0 ? n - 1 : n;
}

static void places_make(struct load *l) {
  size_t streams = (size_t)l->options->streams, http1 = conns_of_http1(l);
  for (size_t i = 0; i < l->conn_count; i++) {
    bool mixed = l->workload.mixed_protocols;
    conn_init(&l->conns[i], l, (uint32_t)i, !mixed ? wanted_version(l) : i < http1 ? 1 : 2);
  }
  /* In turn over the connections, so that a ramp opens all of them early. */
  for (size_t s = 0; s < streams; s++)
    for (size_t i = 0; i < l->conn_count; i++)
      if (s == 0 || l->conns[i].version != 1)
        exchange_init(&l->exchanges[l->exchange_count++], l, &l->conns[i]);
}

enum err load_open(struct load *l, const struct options *o, struct buf *why) {
  struct url u;
  *l = (struct load){.options = o, .epoll = -1, .signals = -1};
  list_init(&l->timeouts);
  list_init(&l->dirty);
  for (int i = 0; i < 3; i++)
    list_init(&l->free_slots[i]);
  for (int i = 0; i < WORKLOAD_KINDS; i++)
    l->head_us[i] = l->gap_us[i] = LOAD_FIRST_GUESS_US;
  sse_prepare();
  draw_seed(&l->draw, (uint64_t)o->seed);
  enum err e = url_parse(o->url, &u, why);
  if (!e)
    e = descriptors_raise((size_t)o->connections, why);
  if (!e)
    e = target_open(l, &u, why);
  if (!e)
    e = workload_open(&l->workload, o, &u, why);
  if (!e && l->workload.mixed_protocols && l->options->connections < 2) {
    buf_str(why, "--mix: both protocols need a connection each; say --connections 2 or more");
    e = ERR_RANGE;
  }
  if (!e)
    e = kernel_open(l, why);
  if (!e)
    e = memory_open(l);
  if (!e)
    places_make(l);
  return e;
}

void load_close(struct load *l) {
  for (size_t i = 0; l->conns && i < l->conn_count; i++)
    if (l->conns[i].load)
      conn_drop(&l->conns[i]);
  if (l->epoll >= 0)
    close(l->epoll);
  if (l->signals >= 0)
    close(l->signals);
  workload_close(&l->workload);
  l->tls = tls_client_free(l->tls);
  heap_clear(&l->timers);
  for (int i = 0; i < 3; i++)
    free(l->queues[i].items);
  free(l->conns);
  free(l->exchanges);
  free(l->tallies);
  free(l->raw);
  free(l->plain);
  free(l->out);
  free(l->records);
}

/* ---- running ---- */

static usec_t next_due(const struct load *l) {
  usec_t due = slots_due(l), report = l->reported + USEC_PER_S;
  struct heap_node *first = heap_first(&l->timers);
  if (!list_empty(&l->dirty))
    return l->now;
  if (first && first->at < due)
    due = first->at;
  if (!l->warm && l->warm_at < due)
    due = l->warm_at;
  if (l->end < due)
    due = l->end;
  return report < due ? report : due;
}

static int wait_for_events(struct load *l, struct epoll_event *events) {
  usec_t wait_us = next_due(l) - clock_mono();
  if (wait_us < 0)
    wait_us = 0;
  struct timespec ts = {wait_us / USEC_PER_S, wait_us % USEC_PER_S * 1000};
  static bool coarse; /* a kernel before 5.11 */
  int n = coarse ? -1 : epoll_pwait2(l->epoll, events, EVENTS, &ts, NULL);
  if (n < 0 && (coarse || errno == ENOSYS)) {
    coarse = true;
    n = epoll_wait(l->epoll, events, EVENTS, (int)((wait_us + 999) / 1000));
  }
  return n;
}

static void signal_came(struct load *l) {
  struct signalfd_siginfo info;
  while (read(l->signals, &info, sizeof info) == sizeof info)
    l->stopping = true;
}

static void event_came(struct load *l, const struct epoll_event *e) {
  if (e->data.u64 == SIGNALS) {
    signal_came(l);
    return;
  }
  struct conn *c = &l->conns[(uint32_t)e->data.u64];
  l->now = clock_mono();
  if (c->generation == (uint32_t)(e->data.u64 >> 32))
    conn_event(c, e->events);
}

static void timers_run(struct load *l) {
  struct heap_node *first;
  while ((first = heap_first(&l->timers)) && first->at <= l->now) {
    heap_remove(&l->timers, first);
    exchange_due(container_of(first, struct exchange, timer));
  }
}

/* Those that want a further turn get one after the sockets. */
static void dirty_run(struct load *l) {
  struct list now, *node;
  list_init(&now);
  list_move_all(&now, &l->dirty);
  while ((node = list_pop_front(&now)))
    conn_settle(container_of(node, struct conn, dirty_node));
}

static void warm_up_end(struct load *l) {
  if (l->warm || l->now < l->warm_at)
    return;
  l->warm = true;
  l->warm_at = l->now;
  for (int i = 0; i < WORKLOAD_KINDS; i++)
    tally_restart(&l->tallies[i]);
  l->bytes_in = l->bytes_out = l->handshakes = l->resumed = 0;
}

static void progress(struct load *l) {
  if (l->now < l->reported + USEC_PER_S)
    return;
  l->reported = l->now;
  if (!l->options->quiet)
    summary_progress(l);
}

static bool is_over(const struct load *l) {
  return l->stopping || l->now >= l->end || slots_finished(l);
}

static void load_turn(struct load *l) {
  struct epoll_event events[EVENTS];
  int n = wait_for_events(l, events);
  for (int i = 0; i < n; i++)
    event_came(l, &events[i]);
  l->now = clock_mono();
  warm_up_end(l);
  timers_run(l);
  slots_time_out(l);
  slots_arrive(l);
  dirty_run(l);
  progress(l);
}

void load_run(struct load *l) {
  const struct options *o = l->options;
  l->now = l->begin = l->reported = clock_mono();
  l->warm_at = l->begin + (usec_t)(o->warmup_s * USEC_PER_S);
  l->end = USEC_NEVER;
  if (o->duration_s > 0 && !o->hold)
    l->end = l->warm_at + (usec_t)(o->duration_s * USEC_PER_S);
  warm_up_end(l);
  slots_open(l);
  while (!is_over(l))
    load_turn(l);
  l->ended = l->now;
}

double load_seconds(const struct load *l) {
  usec_t to = l->ended ? l->ended : l->now;
  return l->warm ? (double)(to - l->warm_at) / USEC_PER_S : 0;
}

struct tally *load_total(const struct load *l) {
  struct tally *t = calloc(1, sizeof *t);
  for (int i = 0; t && i < WORKLOAD_KINDS; i++)
    tally_merge(t, &l->tallies[i]);
  return t;
}

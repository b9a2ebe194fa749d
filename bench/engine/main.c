/* A stand-in for a model server: it speaks what OpenAI-compatible engines speak, costs little,
 * and misbehaves on request. The demo, the tests and the benchmark run it behind the proxy. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "conn.h"
#include "engine.h"
#include "listener.h"
#include "log.h"
#include "options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { MAIN_EVENTS = 256 };

struct engine engine;

static void main_exit(int status) {
  listener_unlink();
  exit(status);
}

static void main_loaded(struct timer *t) {
  (void)t;
  if (engine.options.fail_start) {
    fprintf(stderr, "ERROR loading the model: 3 of 4 weight files were read\n"
                    "ERROR out of memory: tried to allocate 12.00 GiB\n"
                    "ERROR the engine did not start\n");
    main_exit(1);
  }
  engine.loaded = true;
}

static void main_time_is_up(struct timer *t) {
  (void)t;
  main_exit(0);
}

static struct timer load_timer = {0, 0, main_loaded};
static struct timer exit_timer = {0, 0, main_time_is_up};

/* The first signal lets open requests finish, the second does not wait for them. */
static void main_signal(struct source *s, uint32_t events);

static struct signal_source {
  struct source source;
  int fd;
} signals = {{main_signal}, -1};

static void main_signal(struct source *s, uint32_t events) {
  struct signalfd_siginfo info;
  (void)s;
  (void)events;
  while (read(signals.fd, &info, sizeof(info)) == sizeof(info)) {
    if (engine.draining)
      main_exit(0);
    engine.draining = true;
    listener_close_all();
    conn_drain_all();
  }
}

static bool main_watch_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  signal(SIGPIPE, SIG_IGN);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  struct epoll_event e = {EPOLLIN, {.ptr = &signals}};
  return signals.fd >= 0 && !epoll_ctl(engine.epoll, EPOLL_CTL_ADD, signals.fd, &e);
}

static void main_raise_limits(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit))
    return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static void main_set_timers(void) {
  const struct engine_options *o = &engine.options;
  engine.now_us = timer_clock_us();
  if (o->rate_per_s > 0) {
    double period_us = 1e6 / o->rate_per_s;
    engine.period_us = period_us < 1 ? 1 : (uint64_t)period_us;
  }
  if (o->exit_after_ms)
    timer_set(&exit_timer, engine.now_us + (uint64_t)o->exit_after_ms * 1000);
  if (o->load_ms || o->fail_start)
    timer_set(&load_timer, engine.now_us + (uint64_t)o->load_ms * 1000);
  else
    engine.loaded = true;
}

static void main_turn(void) {
  static struct epoll_event events[MAIN_EVENTS];
  int n = epoll_wait(engine.epoll, events, MAIN_EVENTS, timer_wait_ms(timer_clock_us()));
  engine.now_us = timer_clock_us();
  for (int i = 0; i < n; i++) {
    struct source *s = events[i].data.ptr;
    s->event(s, events[i].events);
  }
  timer_run(engine.now_us);
  conn_reap();
}

int main(int argc, char **argv) {
  options_read(&engine.options, argc, argv);
  main_raise_limits();
  if (engine.options.log_path && !log_open(engine.options.log_path)) {
    perror("engine: cannot open the log");
    return 1;
  }
  engine.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (engine.epoll < 0 || !main_watch_signals()) {
    perror("engine");
    return 1;
  }
  main_set_timers();
  if (!listener_open_all())
    return 1;
  while (!engine.draining || conn_any())
    main_turn();
  conn_free_all();
  timer_free_all();
  main_exit(0);
}

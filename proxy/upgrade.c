#include "proxy/upgrade.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/notify.h"
#include "lib/base/privileges.h"
#include "lib/net/handed.h"
#include "lib/net/loop.h"

extern char **environ;

struct upgrade {
  struct loop *loop;
  struct event *event;
  struct timer late_timer;
  pid_t pid;
  int ready_fd; /* a byte comes when the new process is there, the end when it has gone */
  void (*done)(void *user, pid_t pid, const char *why);
  void *user;
};

static char program[PATH_MAX];

void upgrade_know_program(void) {
  ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
  program[n > 0 ? n : 0] = '\0';
}

static void finish(struct upgrade *u, const char *why) {
  pid_t pid = u->pid;
  u->pid = 0;
  timer_cancel(u->loop, &u->late_timer);
  event_del(u->event);
  u->done(u->user, pid, why);
}

static void ready_came(evutil_socket_t fd, short what, void *user) {
  struct upgrade *u = user;
  char byte;
  ssize_t n = read(fd, &byte, 1);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n == 1) {
    finish(u, NULL);
    return;
  }
  waitpid(u->pid, NULL, 0); /* it has closed its end: it is going, or gone */
  finish(u, "it has ended; its standard error says why");
}

static void late(struct timer *t) {
  struct upgrade *u = container_of(t, struct upgrade, late_timer);
  kill(u->pid, SIGTERM);
  finish(u, "it was not ready in time, and is told to stop");
}

/* Descriptors may lie where others are to go: first all of them get out of the way. */
static enum err lift(const struct handed_list *sockets, int ready_fd, int *lifted) {
  int above = HANDED_FIRST_FD + sockets->count + 1;
  for (int i = 0; i <= sockets->count; i++) {
    int fd = i < sockets->count ? sockets->sockets[i].fd : ready_fd;
    lifted[i] = fcntl(fd, F_DUPFD_CLOEXEC, above);
    if (lifted[i] < 0)
      return ERR_IO;
  }
  return OK;
}

static int actions_fill(posix_spawn_file_actions_t *a, const int *lifted, int count) {
  int error = 0;
  for (int i = 0; !error && i < count; i++)
    error = posix_spawn_file_actions_adddup2(a, lifted[i], HANDED_FIRST_FD + i);
  return error;
}

/* Ours, and the words for what is handed over. The caller frees the list, not the words. */
static char **environment(char *word) {
  size_t n = 0;
  while (environ[n])
    n++;
  char **list = calloc(n + 8, sizeof *list);
  if (!list)
    return NULL;
  memcpy(list, environ, n * sizeof *list);
  list[n++] = word;
  for (int i = 0; notify_word(i); i++)
    list[n++] = (char *)notify_word(i);
  return list;
}

static int spawn(const char *const *arguments, const struct handed_list *sockets, const int *lifted,
                 pid_t *pid) {
  char word[HANDED_MAX + 64];
  char *argv[8] = {program};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  handed_word(sockets, word, sizeof word);
  for (int i = 0; i < 6 && arguments[i]; i++)
    argv[i + 1] = (char *)arguments[i];
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  char **list = environment(word);
  int error = list ? actions_fill(&actions, lifted, sockets->count + 1) : ENOMEM;
  if (!error) {
    privileges_pass_on(true); /* to ports below 1024 */
    error = posix_spawn(pid, program, &actions, &attributes, argv, list);
    privileges_pass_on(false);
  }
  free(list);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

static enum err start(struct upgrade *u, const char *const *arguments,
                      const struct handed_list *sockets, struct buf *why) {
  int ends[2], lifted[HANDED_MAX + 1];
  memset(lifted, -1, sizeof lifted);
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
    return ERR_IO;
  u->ready_fd = ends[0];
  enum err e = lift(sockets, ends[1], lifted);
  int error = e ? errno : spawn(arguments, sockets, lifted, &u->pid);
  if (error)
    buf_printf(why, "%s cannot be started: %s", program, strerror(error));
  for (int i = 0; i <= sockets->count; i++)
    if (lifted[i] >= 0)
      close(lifted[i]);
  close(ends[1]);
  return error ? ERR_IO : OK;
}

enum err upgrade_start(struct loop *loop, const char *const *arguments,
                       const struct handed_list *sockets,
                       void (*done)(void *user, pid_t pid, const char *why), void *user,
                       struct upgrade **out, struct buf *why) {
  struct upgrade *u = calloc(1, sizeof *u);
  if (!u)
    return ERR_MEMORY;
  *u = (struct upgrade){.loop = loop, .ready_fd = -1, .done = done, .user = user};
  timer_init(&u->late_timer, late);
  enum err e = start(u, arguments, sockets, why);
  if (!e) {
    u->event = event_new(loop->base, u->ready_fd, EV_READ | EV_PERSIST, ready_came, u);
    e = u->event && event_add(u->event, NULL) == 0 ? OK : ERR_MEMORY;
  }
  if (!e)
    e = timer_set(loop, &u->late_timer, loop_now(loop) + UPGRADE_MOST_S * USEC_PER_S);
  if (e)
    upgrade_free(u);
  else
    *out = u;
  return e;
}

struct upgrade *upgrade_free(struct upgrade *u) {
  if (!u)
    return NULL;
  if (u->pid > 0)
    kill(u->pid, SIGTERM);
  timer_cancel(u->loop, &u->late_timer);
  if (u->event)
    event_free(u->event);
  if (u->ready_fd >= 0)
    close(u->ready_fd);
  free(u);
  return NULL;
}

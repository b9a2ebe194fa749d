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
#include <sys/socket.h>
#include <sys/syscall.h>
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
  struct event *said, *exited;
  struct timer late_timer;
  pid_t pid;
  int fd, pidfd; /* where it says that it is there, and hears the answer; the process */
  bool answered;
  const char *why; /* it was given up */
  const struct upgrade_events *events;
  void *user;
};

static char program[PATH_MAX];

void upgrade_know_program(void) {
  ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
  program[n > 0 ? n : 0] = '\0';
}

/* What it has said is still there when it is not. */
static bool has_exited(const struct upgrade *u) {
  siginfo_t info = {0};
  return waitid(P_PIDFD, (id_t)u->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}

/* The end says nothing yet: that will be seen by the process itself. */
static void something_said(evutil_socket_t fd, short what, void *user) {
  struct upgrade *u = user;
  char text[HANDED_ID_BYTES + 1] = ""; /* a byte, and the id */
  ssize_t n = recv(fd, text, sizeof text - 1, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  event_del(u->said);
  if (n > 0 && !u->why && !has_exited(u))
    u->events->ready(u->user, u->pid, text + 1);
}

static void process_exited(evutil_socket_t fd, short what, void *user) {
  struct upgrade *u = user;
  pid_t pid = u->pid;
  siginfo_t info = {0};
  if (waitid(P_PIDFD, (id_t)u->pidfd, &info, WEXITED | WNOHANG) || info.si_pid == 0)
    return;
  u->pid = 0;
  event_del(u->exited);
  event_del(u->said);
  timer_cancel(u->loop, &u->late_timer);
  if (u->answered)
    u->events->left(u->user, pid, info.si_code == CLD_EXITED && info.si_status == 0);
  else
    u->events->ended(u->user, pid, u->why ? u->why : "it has ended; its standard error says why");
}

static void late(struct timer *t) {
  struct upgrade *u = container_of(t, struct upgrade, late_timer);
  if (u->why)
    kill(u->pid, SIGKILL);
  else
    upgrade_give_up(u, "it was not ready in time, and was told to stop");
}

void upgrade_give_up(struct upgrade *u, const char *why) {
  u->why = why;
  kill(u->pid, SIGTERM);
  usec_t at = loop_now(u->loop) + UPGRADE_KILL_AFTER_S * USEC_PER_S;
  if (timer_set(u->loop, &u->late_timer, at) != OK)
    kill(u->pid, SIGKILL);
}

void upgrade_answer(struct upgrade *u) {
  ssize_t n = send(u->fd, "1", 1, MSG_NOSIGNAL);
  (void)n; /* the end, which follows, says the same */
  u->answered = true;
  timer_cancel(u->loop, &u->late_timer);
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
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
    return ERR_IO;
  u->fd = ends[0];
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

static bool follow(struct upgrade *u, struct event **out, int fd, event_callback_fn run) {
  *out = fd >= 0 ? event_new(u->loop->base, fd, EV_READ | EV_PERSIST, run, u) : NULL;
  return *out && event_add(*out, NULL) == 0;
}

enum err upgrade_start(struct loop *loop, const char *const *arguments,
                       const struct handed_list *sockets, const struct upgrade_events *events,
                       void *user, struct upgrade **out, struct buf *why) {
  struct upgrade *u = calloc(1, sizeof *u);
  if (!u)
    return ERR_MEMORY;
  *u = (struct upgrade){.loop = loop, .fd = -1, .pidfd = -1, .events = events, .user = user};
  timer_init(&u->late_timer, late);
  enum err e = start(u, arguments, sockets, why);
  if (!e) {
    u->pidfd = (int)syscall(SYS_pidfd_open, u->pid, 0);
    usec_t at = loop_now(loop) + UPGRADE_MOST_S * USEC_PER_S;
    if (!follow(u, &u->said, u->fd, something_said) ||
        !follow(u, &u->exited, u->pidfd, process_exited) ||
        timer_set(loop, &u->late_timer, at) != OK)
      e = ERR_MEMORY;
  }
  if (e)
    upgrade_free(u);
  else
    *out = u;
  return e;
}

struct upgrade *upgrade_free(struct upgrade *u) {
  if (!u)
    return NULL;
  if (u->pid > 0 && !u->answered)
    kill(u->pid, SIGTERM);
  timer_cancel(u->loop, &u->late_timer);
  if (u->said)
    event_free(u->said);
  if (u->exited)
    event_free(u->exited);
  if (u->fd >= 0)
    close(u->fd);
  if (u->pidfd >= 0)
    close(u->pidfd);
  free(u);
  return NULL;
}

/* Local children: started with posix_spawn in a process group of their own, followed
 * by a pidfd, stopped with TERM and then KILL. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/dirs.h"
#include "lib/base/slice.h"
#include "lib/fleet/endpoint.h"
#include "lib/net/loop.h"
#include "scheduler/config.h"
#include "scheduler/driver.h"
#include "scheduler/ports.h"
#include "scheduler/process_handle.h"

extern char **environ;

struct process_state {
  struct driver_replica *replica;
  pid_t pid;
  int pidfd, lock_fd, port;
  struct event *event;
  bool adopted; /* started by another scheduler: not our child */
};

static void child_ended(evutil_socket_t fd, short what, void *user) {
  struct process_state *s = user;
  siginfo_t info = {0};
  if (!s->adopted &&
      (waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG) || info.si_pid == 0))
    return;
  event_del(s->event);
  if (!s->adopted || process_handle_unclaimed(s->replica->handle))
    killpg(s->pid, SIGKILL); /* what it left behind */
  s->replica->exited(s->replica);
}

/* {port} {host} {replica} {endpoint}; the caller frees. */
static char *filled(const struct process_state *s, const char *text) {
  char port[8];
  snprintf(port, sizeof port, "%d", s->port);
  const char *const values[][2] = {{"{port}", port},
                                   {"{host}", s->replica->config->host},
                                   {"{replica}", s->replica->id},
                                   {"{endpoint}", s->replica->def->name}};
  struct buf out = BUF_INIT(1 << 20);
  while (*text) {
    size_t i = 0;
    while (i < 4 && strncmp(text, values[i][0], strlen(values[i][0])) != 0)
      i++;
    if (i < 4)
      buf_str(&out, values[i][1]);
    else
      buf_add(&out, slice_of(text, 1));
    text += i < 4 ? strlen(values[i][0]) : 1;
  }
  return out.data ? out.data : strdup("");
}

/* `more` behind `first`, all filled in; NULL-terminated. */
static char **filled_list(const struct process_state *s, char **first, char **more) {
  size_t n = 0, at = 0;
  for (char **t = first; t && *t; t++)
    n++;
  for (char **t = more; t && *t; t++)
    n++;
  char **list = calloc(n + 1, sizeof *list);
  for (char **t = first; list && t && *t; t++)
    list[at++] = strdup(*t);
  for (char **t = more; list && t && *t; t++)
    list[at++] = filled(s, *t);
  return list;
}

static void list_free(char **list) {
  for (char **t = list; t && *t; t++)
    free(*t);
  free(list);
}

static enum err files_for(const struct driver_replica *r, posix_spawn_file_actions_t *actions,
                          struct buf *why) {
  const struct endpoint_process *p = &r->def->process;
  if (dirs_make(p->log_directory, 0755) != OK) {
    buf_printf(why, "cannot make the log directory %s: %s", p->log_directory, strerror(errno));
    return ERR_IO;
  }
  if (posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0) ||
      posix_spawn_file_actions_addopen(actions, 1, r->log_path, O_WRONLY | O_CREAT | O_APPEND,
                                       0644) ||
      posix_spawn_file_actions_adddup2(actions, 1, 2) ||
      posix_spawn_file_actions_addclosefrom_np(actions, 3) || /* whoever started us has left some */
      (p->directory && posix_spawn_file_actions_addchdir_np(actions, p->directory)))
    return ERR_MEMORY;
  return OK;
}

static int spawn_with(struct process_state *s, posix_spawn_file_actions_t *actions, char **argv,
                      char **environment) {
  posix_spawnattr_t attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  int error = posix_spawnp(&s->pid, argv[0], actions, &attributes, argv, environment);
  posix_spawnattr_destroy(&attributes);
  return error;
}

static enum err spawn(struct process_state *s, struct buf *why) {
  struct driver_replica *r = s->replica;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  enum err e = files_for(r, &actions, why);
  char **argv = filled_list(s, NULL, r->def->process.command);
  char **environment = filled_list(s, environ, r->def->process.environment);
  if (!e && (!argv || !environment))
    e = ERR_MEMORY;
  int error = e ? 0 : spawn_with(s, &actions, argv, environment);
  if (error) {
    buf_printf(why, "cannot start \"%s\": %s", argv[0], strerror(error));
    e = ERR_IO;
  }
  list_free(argv);
  list_free(environment);
  posix_spawn_file_actions_destroy(&actions);
  return e;
}

static enum err follow(struct process_state *s) {
  s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
  if (s->pidfd < 0)
    return ERR_IO;
  s->event = event_new(s->replica->loop->base, s->pidfd, EV_READ | EV_PERSIST, child_ended, s);
  return s->event && event_add(s->event, NULL) == 0 ? OK : ERR_MEMORY;
}

static void process_release(struct driver_replica *r) {
  struct process_state *s = r->state;
  if (!s)
    return;
  if (s->event)
    event_free(s->event);
  if (s->pidfd >= 0)
    close(s->pidfd);
  if (s->lock_fd >= 0)
    close(s->lock_fd);
  free(s);
  r->state = NULL;
}

static enum err process_start(struct driver_replica *r, struct buf *why) {
  struct process_state *s = calloc(1, sizeof *s);
  if (!s)
    return ERR_MEMORY;
  *s = (struct process_state){.replica = r, .pidfd = -1, .lock_fd = -1};
  r->state = s;
  s->port = ports_take(r->config, &s->lock_fd);
  enum err e = s->port ? OK : ERR_LIMIT;
  if (e)
    buf_str(why, errno == EMFILE || errno == ENFILE
                     ? "no descriptor is left; raise the limit of open files"
                     : "no free port in the range port_min to port_max, or its state_directory "
                       "cannot be written");
  snprintf(r->address, sizeof r->address, "%s:%d", r->config->host, s->port);
  snprintf(r->log_path, sizeof r->log_path, "%s/%s.log", r->def->process.log_directory, r->id);
  if (!e)
    e = spawn(s, why);
  if (!e && follow(s) != OK) {
    killpg(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    buf_str(why, "the new process cannot be followed");
    e = ERR_IO;
  }
  if (e)
    process_release(r);
  else
    process_handle_write(s->pid, s->port, r->handle, sizeof r->handle);
  return e;
}

static bool process_recover(struct driver_replica *r) {
  struct process_state *s = calloc(1, sizeof *s);
  if (!s)
    return false;
  *s = (struct process_state){.replica = r, .pidfd = -1, .lock_fd = -1, .adopted = true};
  r->state = s;
  /* Asked again when it is followed: before that another one might take its pid. */
  bool good = process_handle_read(r->handle, &s->pid, &s->port) && follow(s) == OK &&
              process_handle_holds(r->handle);
  if (good)
    s->lock_fd = ports_take_again(r->config, s->port);
  else
    process_release(r);
  return good;
}

static bool process_proven(const struct driver_replica *r) {
  const struct process_state *s = r->state;
  return ports_listener_is(s->port, s->pid);
}

static void process_stop(struct driver_replica *r, bool kill_it) {
  struct process_state *s = r->state;
  killpg(s->pid, kill_it ? SIGKILL : SIGTERM);
}

const struct driver_ops driver_process = {
    .name = "process",
    .start = process_start,
    .recover = process_recover,
    .proven = process_proven,
    .stop = process_stop,
    .release = process_release,
};

#include "lib/store/token_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/dirs.h"
#include "lib/fleet/token_text.h"
#include "lib/net/loop.h"

enum { PROBLEM_BYTES_MAX = 4096 };

struct token_file {
  struct loop *loop;
  const char *path;
  void (*changed)(void *user, struct token_set *set);
  void (*problem)(void *user, const char *text);
  void *user;
  struct timer timer;
  struct stat seen;
};

static bool is_same(const struct stat *a, const struct stat *b) {
  return a->st_ino == b->st_ino && a->st_size == b->st_size &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void load(struct token_file *t) {
  struct buf why = BUF_INIT(PROBLEM_BYTES_MAX);
  struct token_set *set;
  if (token_set_load(t->path, &set, &why) == OK) {
    t->changed(t->user, set);
    token_set_unref(set);
  } else {
    t->problem(t->user, why.data ? why.data : "the token file cannot be read");
  }
  buf_free(&why);
}

static void look(struct timer *timer) {
  struct token_file *t = container_of(timer, struct token_file, timer);
  struct stat now = {0};
  if (timer_set(t->loop, timer, loop_now(t->loop) + TOKEN_FILE_LOOK_MS * USEC_PER_MS) != OK)
    abort(); /* a revocation would not be seen */
  if (stat(t->path, &now))
    memset(&now, 0, sizeof now);
  if (is_same(&now, &t->seen))
    return;
  t->seen = now;
  load(t);
}

struct token_file *token_file_new(struct loop *loop, const char *path,
                                  void (*changed)(void *user, struct token_set *set),
                                  void (*problem)(void *user, const char *text), void *user) {
  struct token_file *t = calloc(1, sizeof *t);
  if (!t)
    return NULL;
  *t = (struct token_file){
      .loop = loop, .path = path, .changed = changed, .problem = problem, .user = user};
  timer_init(&t->timer, look);
  t->seen.st_size = -1; /* nothing is like this: the first look loads */
  token_file_look(t);
  return t;
}

void token_file_look(struct token_file *t) {
  if (timer_set(t->loop, &t->timer, loop_now(t->loop)) != OK)
    abort();
}

struct token_file *token_file_free(struct token_file *t) {
  if (t)
    timer_cancel(t->loop, &t->timer);
  free(t);
  return NULL;
}

/* Held while the file is read and written, so that two commands do not lose one another's
 * work. */
static int lock_for(const char *path) {
  char lock[512];
  if (dirs_make_for(path, 0755) != OK)
    return -1;
  snprintf(lock, sizeof lock, "%s.lock", path);
  int fd = open(lock, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd >= 0) /* never what stood there: it may be another name of a file of root's */
    dirs_leave_to_owner(fd, path);
  else if (errno == EEXIST)
    fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd >= 0 && flock(fd, LOCK_EX)) {
    close(fd);
    return -1;
  }
  return fd;
}

/* With `add`, or without the one named `remove`. */
static enum err change(struct token_file *t, const struct token *add, const char *remove) {
  int lock = lock_for(t->path);
  if (lock < 0)
    return ERR_IO;
  struct buf why = BUF_INIT(PROBLEM_BYTES_MAX);
  struct token_set *set = NULL, *changed = NULL;
  enum err e = token_set_load(t->path, &set, &why);
  if (!e)
    e = add ? token_set_add(set, add, &changed) : token_set_remove(set, remove, &changed);
  if (!e)
    e = token_set_save(changed, t->path);
  token_set_unref(set);
  token_set_unref(changed);
  buf_free(&why);
  close(lock);
  token_file_look(t);
  return e;
}

enum err token_file_add(struct token_file *t, const struct token *token) {
  return change(t, token, NULL);
}

enum err token_file_remove(struct token_file *t, const char *name) {
  return change(t, NULL, name);
}

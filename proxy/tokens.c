#include "proxy/tokens.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/fleet/token.h"
#include "lib/net/loop.h"

struct tokens {
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

static void load(struct tokens *t) {
  struct buf why = BUF_INIT(4096);
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
  struct tokens *t = container_of(timer, struct tokens, timer);
  struct stat now = {0};
  if (stat(t->path, &now))
    memset(&now, 0, sizeof now);
  if (!is_same(&now, &t->seen)) {
    t->seen = now;
    load(t);
  }
  if (timer_set(t->loop, timer, loop_now(t->loop) + TOKENS_LOOK_MS * USEC_PER_MS) != OK)
    abort(); /* a revocation would not be seen */
}

struct tokens *tokens_new(struct loop *loop, const char *path,
                          void (*changed)(void *user, struct token_set *set),
                          void (*problem)(void *user, const char *text), void *user) {
  struct tokens *t = calloc(1, sizeof *t);
  if (!t)
    return NULL;
  *t = (struct tokens){
      .loop = loop, .path = path, .changed = changed, .problem = problem, .user = user};
  timer_init(&t->timer, look);
  t->seen.st_size = -1; /* nothing is like this: the first look loads */
  look(&t->timer);
  return t;
}

struct tokens *tokens_free(struct tokens *t) {
  if (t)
    timer_cancel(t->loop, &t->timer);
  free(t);
  return NULL;
}

/* Another program takes the place of this one and loses nobody: it is started from the same path
 * with the same arguments, gets the listening sockets (lib/net/handed.h), and says when it is
 * there; only then this one drains. When it cannot start, nothing has changed. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"

struct buf;
struct handed_list;
struct loop;
struct upgrade;

enum {
  UPGRADE_MOST_S = 60,      /* after this the new process is given up, with TERM ... */
  UPGRADE_KILL_AFTER_S = 10 /* ... and KILL */
};

struct upgrade_events {
  /* The new process is there and waits for its answer: upgrade_answer, or upgrade_give_up. The
   * store knows it by this id; "": it did not say. */
  void (*ready)(void *user, pid_t pid, const char *id);
  /* It has ended, and did not take over; *why says why. */
  void (*ended)(void *user, pid_t pid, const char *why);
  /* It has ended after it had taken over; in order: told to, and not by an accident. */
  void (*left)(void *user, pid_t pid, bool in_order);
};

/* Before anything else: by which path the program was started. */
void upgrade_know_program(void);
/* `arguments` are those behind the program's name. `events` come from the loop. */
enum err upgrade_start(struct loop *loop, const char *const *arguments,
                       const struct handed_list *sockets, const struct upgrade_events *events,
                       void *user, struct upgrade **out, struct buf *why) MUST_CHECK;
/* The place is its own from now on. It is followed still, since it is our child; upgrade_free lets
 * go of it. */
void upgrade_answer(struct upgrade *u);
/* It is told to stop; `ended` follows. `why` is static. */
void upgrade_give_up(struct upgrade *u, const char *why);
/* One that is still getting ready is told to stop. Accepts NULL; returns NULL. */
struct upgrade *upgrade_free(struct upgrade *u);

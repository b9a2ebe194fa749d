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

enum { UPGRADE_MOST_S = 60 }; /* after this the new process is given up, with TERM */

/* Before anything else: by which path the program was started. */
void upgrade_know_program(void);
/* `arguments` are those behind the program's name. `done` is called once, from the loop: the new
 * process is there, or *why says why it is not. */
enum err upgrade_start(struct loop *loop, const char *const *arguments,
                       const struct handed_list *sockets,
                       void (*done)(void *user, pid_t pid, const char *why), void *user,
                       struct upgrade **out, struct buf *why) MUST_CHECK;
/* One that is not done yet is given up. Accepts NULL; returns NULL. */
struct upgrade *upgrade_free(struct upgrade *u);

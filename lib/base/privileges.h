/* What the kernel lets this process do: users, capabilities (capabilities(7)), what others may see
 * of it.
 *
 * Capabilities belong to threads: all of this is for a process that has one still. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"

struct buf;

enum { PRIVILEGES_NAME_BYTES = 64 };

struct privileges_user {
  char name[PRIVILEGES_NAME_BYTES];
  uid_t uid;
  gid_t gid; /* the named group's, else the user's own */
};

/* By name. `group` may be NULL or empty. ERR_ABSENT: *why says which of the two is not known. */
enum err privileges_find(const char *user, const char *group, struct privileges_user *out,
                         struct buf *why) MUST_CHECK;
/* Becomes that user for good, with its groups. Of root's capabilities only CAP_NET_BIND_SERVICE is
 * kept, and not for programs that are started. Without root it must be that user already.
 * `can_gain`: those may get capabilities of their own, by the bits of their files. */
enum err privileges_drop(const struct privileges_user *u, bool can_gain,
                         struct buf *why) MUST_CHECK;
/* Whether the programs that are started from now on get CAP_NET_BIND_SERVICE, if it is here: on for
 * one that takes our place only. Nothing changes where the kernel does not let us. */
void privileges_pass_on(bool on);
/* Neither this process nor what it starts gains anything from setuid bits or the like
 * (PR_SET_NO_NEW_PRIVS). */
enum err privileges_gain_nothing(void) MUST_CHECK;
/* Whether memory may be written to disk when it crashes, and be looked at by the same user. */
void privileges_core_dumps(bool allowed);

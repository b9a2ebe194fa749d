#include "lib/base/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/buf.h"

static const uint64_t net_bind = UINT64_C(1) << CAP_NET_BIND_SERVICE;

struct capabilities {
  uint64_t effective, permitted, inheritable;
};

static bool capabilities_get(struct capabilities *c) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data))
    return false;
  *c = (struct capabilities){data[0].effective | (uint64_t)data[1].effective << 32,
                             data[0].permitted | (uint64_t)data[1].permitted << 32,
                             data[0].inheritable | (uint64_t)data[1].inheritable << 32};
  return true;
}

static bool capabilities_set(const struct capabilities *c) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++)
    data[i] = (struct __user_cap_data_struct){(uint32_t)(c->effective >> 32 * i),
                                              (uint32_t)(c->permitted >> 32 * i),
                                              (uint32_t)(c->inheritable >> 32 * i)};
  return syscall(SYS_capset, &header, data) == 0;
}

enum err privileges_find(const char *user, const char *group, struct privileges_user *out,
                         struct buf *why) {
  const struct passwd *p = getpwnam(user);
  if (!p || strlen(user) >= sizeof out->name) {
    buf_printf(why, "there is no user \"%s\" on this machine", user);
    return ERR_ABSENT;
  }
  *out = (struct privileges_user){.uid = p->pw_uid, .gid = p->pw_gid};
  snprintf(out->name, sizeof out->name, "%s", user);
  if (!group || !*group)
    return OK;
  const struct group *g = getgrnam(group);
  if (!g) {
    buf_printf(why, "there is no group \"%s\" on this machine", group);
    return ERR_ABSENT;
  }
  out->gid = g->gr_gid;
  return OK;
}

/* What a program that is started could gain at most. */
static bool bounds_trim(void) {
  for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
    if (c != CAP_NET_BIND_SERVICE && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) && errno != EPERM)
      return false; /* without CAP_SETPCAP it stays as it was given to us */
  return true;
}

static bool become(const struct privileges_user *u) {
  return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && initgroups(u->name, u->gid) == 0 &&
         setresgid(u->gid, u->gid, u->gid) == 0 && setresuid(u->uid, u->uid, u->uid) == 0 &&
         prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == 0;
}

static bool keep_net_bind(void) {
  struct capabilities c;
  if (!capabilities_get(&c))
    return false;
  uint64_t kept = c.permitted & net_bind;
  c = (struct capabilities){.effective = kept, .permitted = kept};
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return capabilities_set(&c);
}

/* There is no way back. */
static bool is_only(const struct privileges_user *u) {
  uid_t real, effective, saved;
  return getresuid(&real, &effective, &saved) == 0 && real == u->uid && effective == u->uid &&
         saved == u->uid && getegid() == u->gid && setresuid(0, 0, 0) != 0;
}

enum err privileges_drop(const struct privileges_user *u, bool can_gain, struct buf *why) {
  uid_t now = geteuid();
  if (u->uid == 0 && now == 0)
    return OK; /* it stays root, and was asked to */
  if (now != 0 && (now != u->uid || getegid() != u->gid)) {
    buf_printf(why,
               "this process runs as another user (%lld) and cannot become %s; start it as root or "
               "as %s, or leave the option out",
               (long long)now, u->name, u->name);
    return ERR_REFUSED;
  }
  bool good = now != 0 || ((can_gain || bounds_trim()) && become(u));
  if (good && keep_net_bind() && is_only(u))
    return OK;
  buf_printf(why, "cannot become the user %s: %s", u->name, strerror(errno));
  return ERR_IO;
}

void privileges_pass_on(bool on) {
  struct capabilities c;
  if (!capabilities_get(&c) || (on && !(c.permitted & net_bind)))
    return;
  if (!on) /* allowed also when it is not there */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_NET_BIND_SERVICE, 0, 0);
  c.inheritable = on ? c.inheritable | net_bind : c.inheritable & ~net_bind;
  if (capabilities_set(&c) && on)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0);
}

enum err privileges_gain_nothing(void) {
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? OK : ERR_IO;
}

void privileges_core_dumps(bool allowed) {
  struct rlimit limit;
  prctl(PR_SET_DUMPABLE, allowed, 0, 0, 0);
  if (allowed || getrlimit(RLIMIT_CORE, &limit))
    return;
  limit.rlim_cur = 0;
  setrlimit(RLIMIT_CORE, &limit);
}

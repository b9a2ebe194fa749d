#include "scheduler/ports.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/dirs.h"
#include "scheduler/config.h"

enum { INODES_MAX = 64, TCP_LISTEN_STATE = 10 };

static bool port_is_free(const char *host, int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return false;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &a.sin_addr);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  bool is_free = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
  close(fd);
  return is_free;
}

static int lock_port(const char *directory, int port) {
  char path[512];
  snprintf(path, sizeof path, "%s/ports", directory);
  if (dirs_make(path, 0700) != OK)
    return -1;
  snprintf(path, sizeof path, "%s/ports/%d.lock", directory, port);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
    close(fd);
    return -1;
  }
  return fd;
}

int ports_take_again(const struct scheduler_config *c, int port) {
  return lock_port(c->state_directory, port);
}

int ports_take(const struct scheduler_config *c, int *lock_fd) {
  static int last; /* a port just given up is not given out again at once */
  int count = (int)(c->port_max - c->port_min) + 1;
  for (int i = 0; i < count; i++) {
    int port = (int)c->port_min + (last++ % count);
    *lock_fd = lock_port(c->state_directory, port);
    if (*lock_fd < 0)
      continue;
    if (port_is_free(c->host, port))
      return port;
    close(*lock_fd);
  }
  return 0;
}

static int listening_inodes(const char *table, int port, unsigned long *inodes, int count) {
  FILE *f = fopen(table, "re");
  char line[512];
  while (f && fgets(line, sizeof line, f) && count < INODES_MAX) {
    unsigned local, state;
    unsigned long inode;
    if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*d %*d %lu", &local,
               &state, &inode) == 3 &&
        (int)local == port && state == TCP_LISTEN_STATE)
      inodes[count++] = inode;
  }
  if (f)
    fclose(f);
  return count;
}

static pid_t group_of(const char *pid) {
  char path[300], text[512];
  snprintf(path, sizeof path, "/proc/%s/stat", pid);
  FILE *f = fopen(path, "re");
  size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
  if (f)
    fclose(f);
  text[n] = '\0';
  char *after_name = strrchr(text, ')');
  int group;
  return after_name && sscanf(after_name + 1, " %*c %*d %d", &group) == 1 ? group : -1;
}

static bool process_has(const char *pid, const unsigned long *inodes, int count) {
  char path[300], target[64];
  snprintf(path, sizeof path, "/proc/%s/fd", pid);
  DIR *d = opendir(path);
  bool has = false;
  for (struct dirent *e; d && !has && (e = readdir(d));) {
    ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof target - 1);
    if (n <= 0)
      continue;
    target[n] = '\0';
    unsigned long inode;
    for (int i = 0; sscanf(target, "socket:[%lu]", &inode) == 1 && i < count; i++)
      has = has || inodes[i] == inode;
  }
  if (d)
    closedir(d);
  return has;
}

bool ports_listener_is(int port, pid_t group) {
  unsigned long inodes[INODES_MAX];
  int count = listening_inodes("/proc/net/tcp", port, inodes, 0);
  count = listening_inodes("/proc/net/tcp6", port, inodes, count);
  DIR *d = count ? opendir("/proc") : NULL;
  bool found = false;
  for (struct dirent *e; d && !found && (e = readdir(d));)
    if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && group_of(e->d_name) == group)
      found = process_has(e->d_name, inodes, count);
  if (d)
    closedir(d);
  return found;
}

#include "lib/base/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char words[2][160]; /* "" when not said */
static struct sockaddr_un to;
static socklen_t to_len;
static usec_t watchdog_us;

static void take_socket(const char *path) {
  size_t n = strlen(path);
  if ((path[0] != '/' && path[0] != '@') || n >= sizeof to.sun_path)
    return;
  to.sun_family = AF_UNIX;
  memcpy(to.sun_path, path, n);
  if (path[0] == '@') /* an abstract name */
    to.sun_path[0] = '\0';
  to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
  snprintf(words[0], sizeof words[0], "NOTIFY_SOCKET=%s", path);
}

static void take_watchdog(const char *usec, const char *pid) {
  if (pid && strtol(pid, NULL, 10) != getpid())
    return;
  watchdog_us = strtoll(usec, NULL, 10);
  snprintf(words[1], sizeof words[1], "WATCHDOG_USEC=%s", usec);
}

void notify_take(void) {
  const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");
  if (path)
    take_socket(path);
  if (path && usec)
    take_watchdog(usec, getenv("WATCHDOG_PID"));
  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_USEC");
  unsetenv("WATCHDOG_PID");
}

void notify_say(const char *format, ...) {
  char text[512];
  va_list args;
  if (!to_len)
    return;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return;
  ssize_t n = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to, to_len);
  (void)n; /* whoever wanted to know has gone */
  close(fd);
}

usec_t notify_watchdog(void) {
  return watchdog_us > 0 ? watchdog_us : 0;
}

const char *notify_word(int i) {
  for (int k = 0; k < 2; k++)
    if (words[k][0] && i-- == 0)
      return words[k];
  return NULL;
}

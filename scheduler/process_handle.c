#include "scheduler/process_handle.h"

#include <stdio.h>
#include <string.h>

enum { BOOT_ID_BYTES = 40 };

/* In ticks since boot (proc(5), /proc/PID/stat, field 22). 0: there is no such process. */
static unsigned long long started_at(pid_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *f = fopen(path, "re");
  size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
  if (f)
    fclose(f);
  text[n] = '\0';
  char *after_name = strrchr(text, ')'); /* the name may hold anything */
  unsigned long long ticks = 0;
  if (after_name)
    sscanf(after_name + 1,
           " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
           &ticks);
  return ticks;
}

static void boot_id(char to[BOOT_ID_BYTES]) {
  FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
  to[0] = '\0';
  if (f && !fgets(to, 37, f)) /* without the end of the line */
    to[0] = '\0';
  if (f)
    fclose(f);
}

void process_handle_write(pid_t pid, int port, char *to, size_t room) {
  char boot[BOOT_ID_BYTES];
  boot_id(boot);
  snprintf(to, room, "%d:%llu:%d:%s", (int)pid, started_at(pid), port, boot);
}

bool process_handle_read(const char *handle, pid_t *pid, int *port) {
  char boot[BOOT_ID_BYTES], here[BOOT_ID_BYTES];
  unsigned long long ticks;
  int number;
  if (sscanf(handle, "%d:%llu:%d:%39s", &number, &ticks, port, boot) != 4)
    return false;
  boot_id(here);
  *pid = number;
  return number > 1 && ticks && strcmp(boot, here) == 0 && started_at(*pid) == ticks;
}

bool process_handle_holds(const char *handle) {
  pid_t pid;
  int port;
  return process_handle_read(handle, &pid, &port);
}

bool process_handle_unclaimed(const char *handle) {
  unsigned long long ticks, now;
  int pid;
  if (sscanf(handle, "%d:%llu:", &pid, &ticks) != 2)
    return false;
  now = started_at(pid);
  return now == 0 || now == ticks;
}

#include "lib/base/descriptors.h"

#include <dirent.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int64_t bounded(rlim_t n) {
  return n > INT_MAX ? INT_MAX : (int64_t)n;
}

int64_t descriptors_raise(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  return descriptors_limit();
}

int64_t descriptors_limit(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? bounded(limit.rlim_cur) : INT_MAX;
}

int64_t descriptors_for_clients(int64_t limit) {
  return limit - limit / 4;
}

int64_t descriptors_needed(int64_t clients) {
  return (clients * 4 + 2) / 3;
}

/* Linux 6.2 and later say so as the size of the directory; before, its entries are counted. */
int64_t descriptors_open(void) {
  struct stat st;
  if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
    return st.st_size;
  DIR *d = opendir("/proc/self/fd");
  if (!d)
    return -1;
  int64_t n = -1; /* this one */
  for (const struct dirent *e; (e = readdir(d));)
    n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

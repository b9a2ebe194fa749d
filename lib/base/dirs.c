#include "lib/base/dirs.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each prefix that ends before a slash at or after `from`. */
static enum err make_up_to(char *path, const char *end, mode_t mode) {
  for (char *p = path + 1; p <= end; p++) {
    if (*p != '/' && *p != '\0')
      continue;
    char kept = *p;
    *p = '\0';
    int failed = mkdir(path, mode) && errno != EEXIST;
    *p = kept;
    if (failed)
      return ERR_IO;
  }
  return OK;
}

enum err dirs_make(const char *path, mode_t mode) {
  char *copy = strdup(path);
  if (!copy)
    return ERR_MEMORY;
  enum err e = *copy ? make_up_to(copy, copy + strlen(copy), mode) : OK;
  int error = errno;
  free(copy);
  errno = error;
  return e;
}

enum err dirs_make_for(const char *file, mode_t mode) {
  char *copy = strdup(file), *slash = copy ? strrchr(copy, '/') : NULL;
  if (!copy)
    return ERR_MEMORY;
  enum err e = OK;
  if (slash && slash != copy) {
    *slash = '\0';
    e = dirs_make(copy, mode);
  }
  free(copy);
  return e;
}

void dirs_leave_to_owner(int fd, const char *file) {
  struct stat st;
  char *directory = strdup(file);
  if (geteuid() == 0 && directory && (stat(file, &st) == 0 || stat(dirname(directory), &st) == 0) &&
      fchown(fd, st.st_uid, st.st_gid)) {
    /* a file system without owners */
  }
  free(directory);
}

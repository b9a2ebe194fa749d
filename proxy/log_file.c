#include "proxy/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/dirs.h"

static int open_path(const char *path) {
  if (!path || !*path)
    return open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (strcmp(path, "-") == 0)
    return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
  if (dirs_make_for(path, 0755) != OK)
    return -1;
  return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

enum err log_file_open(const char *path, int *fd, struct buf *why) {
  *fd = open_path(path);
  if (*fd >= 0)
    return OK;
  buf_printf(why, "log.access: %s cannot be opened: %s", path, strerror(errno));
  return ERR_IO;
}

bool log_file_moved(const char *path, int fd) {
  struct stat there, own;
  if (!path || !*path || strcmp(path, "-") == 0)
    return false;
  return stat(path, &there) == 0 && fstat(fd, &own) == 0 &&
         (there.st_dev != own.st_dev || there.st_ino != own.st_ino);
}

void log_file_replace(int fd, int other) {
  while (dup3(other, fd, O_CLOEXEC) < 0 && (errno == EINTR || errno == EBUSY))
    ;
  close(other);
}

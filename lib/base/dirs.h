/* Directories on disk. */
#pragma once

#include <sys/types.h>

#include "lib/base/err.h"

/* Makes the directory and those above it that are missing. errno says why not. */
enum err dirs_make(const char *path, mode_t mode) MUST_CHECK;
/* The same for the directory a file is in. */
enum err dirs_make_for(const char *file, mode_t mode) MUST_CHECK;
/* Root's commands leave what they have opened to whom the file belonged before, or whose the
 * directory is: who runs the process must be able to read it. For anybody else it does nothing. */
void dirs_leave_to_owner(int fd, const char *file);

/* What the process is to the machine it runs on: its user, its descriptors, what may be seen of
 * it. */
#pragma once

#include "lib/base/err.h"

struct buf;
struct config;
struct file;

/* Before anything else of the configuration takes effect, and before there is a second thread:
 * descriptors as many as there may be, the user of the option `user`, nothing to be gained, no
 * core. From here on only this user's rights hold, so that a start succeeds where a reload will.
 * With `user` it is proven that everything a reload needs can be read and written: on error *why
 * names the option, the file and the remedy, one a line. */
enum err host_enter(const char *config_path, const struct file *file, struct buf *why) MUST_CHECK;
/* What an operator of a proxy should know about this host, one a line; perhaps nothing. */
void host_warnings(const struct config *c, struct buf *out);

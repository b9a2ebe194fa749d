/* Reads and writes of several sockets by one system call, where the kernel has it (Linux AIO,
 * io_submit(2)): on a virtual machine entering the kernel costs as much as what is done there.
 * A single one, and all where it is not to be had, are plain recv(2) and send(2).
 *
 * The descriptors must be sockets and non-blocking: then everything is done when batch_run
 * returns. SIGPIPE must be ignored by the process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct batch;

enum { BATCH_OPS = 8 }; /* more at once gains nothing */

struct batch_op {
  int fd;
  bool write;
  void *bytes;
  size_t len;
  ssize_t result; /* of batch_run: as of recv or send, or a negative errno */
};

/* NULL: no memory. */
struct batch *batch_new(void);
/* Accepts NULL; returns NULL. */
struct batch *batch_free(struct batch *b);
/* Does all of them, in order; at most BATCH_OPS, each of another descriptor. */
void batch_run(struct batch *b, struct batch_op *ops, int count);

#include "lib/net/batch.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the kernel maps at the context's address; `magic` and `incompatible` say that it is this. */
struct ring {
  unsigned id, count, head, tail, magic, compatible, incompatible, header_bytes;
  struct io_event events[];
};

enum { RING_MAGIC = (int)0xa10a10a1 };

struct batch {
  aio_context_t context; /* 0: there is none */
};

struct batch *batch_new(void) {
  struct batch *b = calloc(1, sizeof *b);
  if (b && syscall(SYS_io_setup, BATCH_OPS, &b->context) < 0)
    b->context = 0;
  return b;
}

struct batch *batch_free(struct batch *b) {
  if (b && b->context)
    syscall(SYS_io_destroy, b->context);
  free(b);
  return NULL;
}

static void run_one(struct batch_op *op) {
  ssize_t n = op->write ? send(op->fd, op->bytes, op->len, MSG_NOSIGNAL)
                        : recv(op->fd, op->bytes, op->len, 0);
  op->result = n < 0 ? -errno : n;
}

static void result_take(const struct io_event *e) {
  struct batch_op *op = (struct batch_op *)(uintptr_t)e->data;
  op->result = (ssize_t)e->res;
}

/* Results that are there already need no system call. */
static int results_there(struct batch *b, int count) {
  struct ring *r = (struct ring *)b->context; // NOLINT: the kernel gives an address as a number
  if (r->magic != (unsigned)RING_MAGIC || r->incompatible)
    return 0;
  int taken = 0;
  unsigned head = r->head, tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
  for (; taken < count && head != tail; taken++) {
    result_take(&r->events[head]);
    head = head + 1 == r->count ? 0 : head + 1;
  }
  __atomic_store_n(&r->head, head, __ATOMIC_RELEASE);
  return taken;
}

static void results(struct batch *b, int count) {
  int taken = results_there(b, count);
  while (taken < count) {
    struct io_event events[BATCH_OPS];
    long n = syscall(SYS_io_getevents, b->context, count - taken, count - taken, events, NULL);
    if (n < 0 && errno != EINTR)
      return;
    for (long i = 0; i < n; i++)
      result_take(&events[i]);
    taken += n > 0 ? (int)n : 0;
  }
}

/* How many of the first were done. */
static int run_together(struct batch *b, struct batch_op *ops, int count) {
  struct iocb blocks[BATCH_OPS], *list[BATCH_OPS];
  for (int i = 0; i < count; i++) {
    blocks[i] = (struct iocb){.aio_data = (uintptr_t)&ops[i],
                              .aio_lio_opcode = ops[i].write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                              .aio_fildes = (unsigned)ops[i].fd,
                              .aio_buf = (uintptr_t)ops[i].bytes,
                              .aio_nbytes = ops[i].len};
    list[i] = &blocks[i];
    ops[i].result = -EIO;
  }
  long n = syscall(SYS_io_submit, b->context, (long)count, list);
  if (n <= 0)
    return 0;
  results(b, (int)n);
  return (int)n;
}

void batch_run(struct batch *b, struct batch_op *ops, int count) {
  int done = count > 1 && b->context ? run_together(b, ops, count) : 0;
  for (; done < count; done++)
    run_one(&ops[done]);
}

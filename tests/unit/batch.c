#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/net/batch.h"

static struct batch *batch;
static int near_end[BATCH_OPS], far_end[BATCH_OPS];
static struct batch_op ops[BATCH_OPS];
static char bytes[BATCH_OPS][64];

static void set_up(void) {
  signal(SIGPIPE, SIG_IGN);
  batch = batch_new();
  cr_assert(batch);
  for (int i = 0; i < BATCH_OPS; i++) {
    int pair[2];
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    near_end[i] = pair[0];
    far_end[i] = pair[1];
    ops[i] = (struct batch_op){.fd = pair[0], .bytes = bytes[i], .len = sizeof bytes[i]};
  }
}

static void tear_down(void) {
  batch_free(batch);
}

TestSuite(batch, .init = set_up, .fini = tear_down);

/* More rounds than there is room for results: each round takes its own. */
Test(batch, writes_and_reads_each_its_own) {
  for (int round = 0; round < 1000; round++) {
    for (int i = 0; i < BATCH_OPS; i++) {
      ops[i] = (struct batch_op){.fd = far_end[i], .write = true, .bytes = bytes[i]};
      ops[i].len = (size_t)sprintf(bytes[i], "round %d of %d", round, i);
    }
    batch_run(batch, ops, BATCH_OPS);
    size_t sent[BATCH_OPS];
    for (int i = 0; i < BATCH_OPS; i++) {
      cr_assert_eq(ops[i].result, (ssize_t)ops[i].len);
      sent[i] = ops[i].len;
      memset(bytes[i], 0, sizeof bytes[i]);
      ops[i] = (struct batch_op){.fd = near_end[i], .bytes = bytes[i], .len = sizeof bytes[i]};
    }
    batch_run(batch, ops, BATCH_OPS);
    for (int i = 0; i < BATCH_OPS; i++) {
      char expected[64];
      sprintf(expected, "round %d of %d", round, i);
      cr_assert_eq(ops[i].result, (ssize_t)sent[i]);
      cr_assert_str_eq(bytes[i], expected);
    }
  }
}

Test(batch, each_has_its_own_end) {
  cr_assert(write(far_end[0], "four", 4) == 4);
  close(far_end[1]);
  cr_assert(write(far_end[3], "five5", 5) == 5);
  ops[3].len = 2;
  batch_run(batch, ops, 4);
  cr_assert_eq(ops[0].result, 4);
  cr_assert_eq(ops[1].result, 0);
  cr_assert_eq(ops[2].result, -EAGAIN);
  cr_assert_eq(ops[3].result, 2);
}

Test(batch, a_peer_that_is_gone_does_not_stop_the_others) {
  close(far_end[0]);
  for (int i = 0; i < 3; i++)
    ops[i].write = true;
  ops[1].fd = -1;
  batch_run(batch, ops, 3);
  cr_assert_eq(ops[0].result, -EPIPE);
  cr_assert_eq(ops[1].result, -EBADF);
  cr_assert_eq(ops[2].result, (ssize_t)sizeof bytes[2]);
}

Test(batch, one_alone_is_the_same) {
  cr_assert(write(far_end[0], "four", 4) == 4);
  batch_run(batch, ops, 1);
  cr_assert_eq(ops[0].result, 4);
  batch_run(batch, ops, 1);
  cr_assert_eq(ops[0].result, -EAGAIN);
  batch_run(batch, ops, 0);
}

/* A turn: what is gathered while a burst comes in, and what is not. */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/net/loop.h"
#include "lib/net/transport.h"

enum { PEERS = 6, CHUNKS_BYTES = 1 << 20, DEADLINE_US = 5 * USEC_PER_S };

static struct loop *loop;
static struct transport transports[PEERS];
static int peers[PEERS];
static int reads;
static struct post output;
static int outputs;

static void on_bytes(struct transport *t, struct slice bytes) {
  reads++;
  loop_gather(loop, &output);
}

static void on_end(struct transport *t, enum transport_end end) {
}

static const struct transport_events events = {.on_bytes = on_bytes, .on_end = on_end};

static void put_out(struct post *p) {
  outputs++;
}

static void set_up(void) {
  loop = loop_new(CHUNKS_BYTES);
  cr_assert(loop);
  post_init(&output, put_out);
  for (int i = 0; i < PEERS; i++) {
    int pair[2];
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    peers[i] = pair[1];
    cr_assert_eq(transport_open(&transports[i], loop, pair[0], NULL, false, &events), OK);
  }
  for (int i = 0; i < 3; i++) /* each is looked at for the first time */
    loop_turn(loop, false);
  cr_assert_eq(reads, 0);
}

static void tear_down(void) {
  for (int i = 0; i < PEERS; i++) {
    transport_close(&transports[i], true);
    close(peers[i]);
  }
  loop = loop_free(loop);
}

TestSuite(loop, .init = set_up, .fini = tear_down);

static void feed(int peer_count) {
  for (int i = 0; i < peer_count; i++)
    cr_assert(write(peers[i], "event", 5) == 5);
}

Test(loop, few_arrivals_are_no_burst) {
  feed(PEERS - 1);
  loop_turn(loop, true);
  cr_assert_eq(reads, PEERS - 1);
  cr_assert_eq(outputs, 1);
}

Test(loop, output_of_a_burst_waits_for_a_turn_that_brings_nothing) {
  feed(PEERS);
  loop_turn(loop, true);
  cr_assert_eq(reads, PEERS);
  cr_assert_eq(outputs, 0);
  feed(1); /* one is enough to go on */
  loop_turn(loop, true);
  bool in_time = clock_mono() < loop->gathering_since + LOOP_GATHER_US;
  cr_assert(outputs == 0 || !in_time);
  loop_turn(loop, true);
  cr_assert_eq(outputs, 1);
  cr_assert_eq(reads, PEERS + 1);
  feed(1); /* and the burst is over */
  loop_turn(loop, true);
  cr_assert_eq(outputs, 2);
}

Test(loop, a_burst_without_end_waits_no_longer_than_its_limit) {
  usec_t start = clock_mono();
  feed(PEERS);
  loop_turn(loop, true);
  cr_assert_eq(outputs, 0);
  int turns = 0;
  while (outputs == 0) {
    cr_assert_lt(clock_mono() - start, DEADLINE_US);
    feed(PEERS);
    loop_turn(loop, true);
    turns++;
  }
  cr_assert_eq(outputs, 1);
  cr_assert_geq(clock_mono() - start, LOOP_GATHER_US);
  cr_assert_eq(reads, (turns + 1) * PEERS);
}

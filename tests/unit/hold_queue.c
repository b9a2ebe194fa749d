/* Who goes when: lanes in turn, oldest first, never more than there is room. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/net/loop.h"
#include "proxy/request/hold_queue.h"
#include "proxy/request/outlier.h"
#include "proxy/request/shared.h"

enum { WAITERS = 12 };

static struct loop *loop;
static struct hold_queue *q;
static struct hold_waiter waiters[WAITERS];
static int order[WAITERS], granted;

static void on_grant(struct mail *m) {
  order[granted++] = (int)(container_of(m, struct hold_waiter, grant) - waiters);
}

static void setup(void) {
  loop = loop_new(1 << 20);
  q = hold_queue_new();
  granted = 0;
  memset(waiters, 0, sizeof waiters);
}

static void teardown(void) {
  cr_assert_eq(hold_queue_set_ready(q, NULL, 0), OK);
  hold_queue_free(q);
  loop_free(loop);
}

static enum err join(int i, char lane, size_t max) {
  waiters[i].key[0] = (unsigned char)lane;
  waiters[i].loop = loop;
  waiters[i].grant.deliver = on_grant;
  return hold_queue_join(q, &waiters[i], max);
}

TestSuite(hold_queue, .init = setup, .fini = teardown);

Test(hold_queue, lanes_take_turns_and_each_is_oldest_first) {
  for (int i = 0; i < 6; i++)
    cr_assert_eq(join(i, 'a', 0), OK);
  cr_assert_eq(join(6, 'b', 0), OK);
  cr_assert_eq(join(7, 'c', 0), OK);
  struct replica_shared *r = replica_shared_new("r", 0, 1);
  cr_assert_eq(hold_queue_set_ready(q, &r, 1), OK);
  mailbox_deliver(&loop->mailbox);
  const int expected[] = {0, 6, 7, 1, 2, 3, 4, 5};
  cr_assert_eq(granted, 8);
  cr_assert_arr_eq(order, expected, sizeof expected);
  cr_assert_eq(hold_queue_count(q), 0);
  replica_shared_unref(r);
}

Test(hold_queue, gives_no_more_places_than_there_are) {
  struct replica_shared *r = replica_shared_new("r", 2, 1);
  cr_assert_eq(hold_queue_set_ready(q, &r, 1), OK);
  for (int i = 0; i < 5; i++)
    cr_assert_eq(join(i, 'a', 0), OK);
  mailbox_deliver(&loop->mailbox);
  cr_assert_eq(granted, 2);
  cr_assert_not(hold_queue_pass(q, r), "a newcomer never overtakes");
  for (int done = 0; done < 5; done++) {
    hold_queue_release(q, waiters[order[done]].place);
    mailbox_deliver(&loop->mailbox);
  }
  cr_assert_eq(granted, 5);
  cr_assert_eq(r->reserved, 0);
  cr_assert(hold_queue_pass(q, r) && hold_queue_pass(q, r) && !hold_queue_pass(q, r));
  replica_shared_unref(r);
}

Test(hold_queue, refuses_beyond_its_limit_and_lets_leave) {
  cr_assert_eq(join(0, 'a', 2), OK);
  cr_assert_eq(join(1, 'b', 2), OK);
  cr_assert_eq(join(2, 'c', 2), ERR_LIMIT);
  cr_assert(hold_queue_leave(q, &waiters[0]));
  cr_assert_eq(join(2, 'c', 2), OK);
  struct replica_shared *r = replica_shared_new("r", 0, 1);
  cr_assert_eq(hold_queue_set_ready(q, &r, 1), OK);
  cr_assert_not(hold_queue_leave(q, &waiters[1]), "its grant is on the way");
  mailbox_deliver(&loop->mailbox);
  cr_assert_eq(granted, 2);
  replica_shared_unref(r);
}

Test(hold_queue, who_comes_back_keeps_its_place) {
  for (int i = 0; i < 3; i++)
    cr_assert_eq(join(i, 'a', 0), OK);
  uint64_t ticket = waiters[0].ticket;
  cr_assert(hold_queue_leave(q, &waiters[0]));
  cr_assert_eq(waiters[0].ticket, ticket);
  cr_assert_eq(join(0, 'a', 0), OK);
  struct replica_shared *r = replica_shared_new("r", 0, 1);
  cr_assert_eq(hold_queue_set_ready(q, &r, 1), OK);
  mailbox_deliver(&loop->mailbox);
  cr_assert_eq(order[0], 0);
  replica_shared_unref(r);
}

Test(hold_queue, a_trial_is_not_used_up_by_who_finds_no_room) {
  struct replica_shared *r = replica_shared_new("r", 1, 1);
  r->trial_at_us = 10;
  r->eject_us = 100;
  cr_assert(replica_shared_reserve(r));
  cr_assert_not(outlier_admits(r, 20));
  replica_shared_release(r);
  cr_assert(outlier_admits(r, 30));
  cr_assert_not(outlier_admits(r, 40), "one request only");
  replica_shared_unref(r);
}

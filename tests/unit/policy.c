/* The scheduler's rules, second by second in simulated time. */
#include <criterion/criterion.h>
#include <string.h>

#include "scheduler/policy.h"

static struct policy p;
static struct policy_sample s;
static struct endpoint_scaling scaling;
static int current;
static char reason[POLICY_REASON_BYTES];

static void setup(void) {
  memset(&p, 0, sizeof p);
  s = (struct policy_sample){.at = 1000 * USEC_PER_S};
  scaling = (struct endpoint_scaling){.max_replicas = 3,
                                      .scale_to_zero_s = 3600,
                                      .pending_per_replica = 1.5,
                                      .scale_up_window_s = 20,
                                      .scale_down_window_s = 300};
  current = 0;
}

/* Lets seconds pass with so many pending all the time; after how many did the number change? */
static int pass(int seconds, int64_t pending) {
  for (int i = 1; i <= seconds; i++) {
    s.at += USEC_PER_S;
    s.pending = pending;
    s.pending_us += pending * USEC_PER_S;
    struct policy_decision d = policy_decide(&p, &scaling, false, current, current, &s);
    if (d.reason[0] && d.desired != current) {
      current = d.desired;
      strcpy(reason, d.reason);
      return i;
    }
  }
  return 0;
}

TestSuite(policy, .init = setup);

Test(policy, wakes_from_zero_at_once) {
  cr_assert_eq(pass(100, 0), 0);
  s.wanted = true;
  cr_assert_eq(pass(1, 1), 1);
  cr_assert_eq(current, 1);
}

Test(policy, wakes_for_a_request_no_sample_of_pending_shows) {
  pass(2, 0);
  s.requests_total++;
  cr_assert_eq(pass(1, 0), 1);
  cr_assert(strstr(reason, "woken from zero"));
}

Test(policy, adds_one_after_the_window_and_starts_it_anew) {
  s.wanted = true;
  pass(1, 3);
  s.wanted = false;
  cr_assert_eq(pass(100, 3), 20);
  cr_assert_eq(current, 2);
  cr_assert_eq(pass(100, 4), 20);
  cr_assert_eq(current, 3);
  cr_assert_eq(pass(100, 30), 0, "max_replicas");
}

Test(policy, a_mean_at_the_threshold_adds_none) {
  s.wanted = true;
  pass(1, 1);
  s.wanted = false;
  cr_assert_eq(pass(200, 1), 0);
}

Test(policy, removes_one_when_fewer_would_do) {
  scaling.min_replicas = 1;
  current = 2;
  pass(1, 0);
  cr_assert_eq(pass(1000, 1), 300);
  cr_assert_eq(current, 1);
  cr_assert_eq(pass(1000, 1), 0, "min_replicas");
}

Test(policy, goes_to_zero_only_after_silence) {
  s.wanted = true;
  pass(1, 1);
  s.wanted = false;
  s.open = 1;
  cr_assert_eq(pass(4000, 0), 0, "a stream is open");
  s.open = 0;
  cr_assert_eq(pass(4000, 0), 3600);
  cr_assert_eq(current, 0);
}

Test(policy, never_goes_to_zero_with_a_minimum) {
  scaling.min_replicas = 1;
  pass(1, 0);
  cr_assert_eq(current, 1);
  cr_assert_eq(pass(10000, 0), 0);
}

Test(policy, a_proxy_that_vanished_is_no_load) {
  s.wanted = true;
  pass(1, 3);
  s.wanted = false;
  pass(10, 3);
  s.pending_us = 0;
  cr_assert_eq(pass(19, 0), 0);
}

Test(policy, long_windows_fit_the_ring) {
  scaling.min_replicas = 1;
  scaling.scale_down_window_s = 86400;
  current = 2;
  pass(1, 0);
  int took = pass(200000, 1);
  cr_assert(took >= 86400 && took < 87000, "%d", took);
}

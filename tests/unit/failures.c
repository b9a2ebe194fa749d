/* Who fails to show a good token: how often, and that nobody can make the table grow. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/base/allowance.h"
#include "proxy/steps/failures.h"

static usec_t fail(struct failures *f, uint64_t who, usec_t now, int64_t burst, int64_t per_s) {
  unsigned char key[8];
  memcpy(key, &who, sizeof key);
  return failures_note(f, key, sizeof key, now, burst, per_s);
}

Test(failures, burst_then_rate) {
  struct failures *f = failures_new();
  usec_t now = 1000 * USEC_PER_S;
  for (int i = 0; i < 5; i++)
    cr_assert_eq(fail(f, 1, now, 5, 2), 0);
  cr_assert_eq(fail(f, 1, now, 5, 2), USEC_PER_S / 2);
  cr_assert_eq(fail(f, 1, now + USEC_PER_S / 4, 5, 2), USEC_PER_S / 4);
  cr_assert_eq(fail(f, 2, now, 5, 2), 0);
  now += USEC_PER_S / 2;
  cr_assert_eq(fail(f, 1, now, 5, 2), 0);
  cr_assert_neq(fail(f, 1, now, 5, 2), 0);
  now += 100 * USEC_PER_S;
  for (int i = 0; i < 5; i++)
    cr_assert_eq(fail(f, 1, now, 5, 2), 0);
  cr_assert_neq(fail(f, 1, now, 5, 2), 0);
  failures_free(f);
}

Test(failures, other_options_count_at_once) {
  struct failures *f = failures_new();
  usec_t now = USEC_PER_S;
  for (int i = 0; i < 1000; i++)
    cr_assert_eq(fail(f, 1, now, 1000, 1), 0);
  cr_assert_eq(fail(f, 1, now, 10, 10), USEC_PER_S / 10);
  cr_assert_eq(fail(f, 1, now, 2000, 1), 0);
  failures_free(f);
}

Test(failures, who_fails_most_is_kept_when_others_need_the_place) {
  struct failures *f = failures_new();
  usec_t now = USEC_PER_S;
  for (int i = 0; i < 100; i++)
    cr_assert_eq(fail(f, 0, now, 100, 1), 0);
  for (uint64_t who = 1; who <= 4 * FAILURES_SETS * FAILURES_WAYS; who++)
    cr_assert_eq(fail(f, who, now, 100, 1), 0);
  cr_assert_neq(fail(f, 0, now, 100, 1), 0);
  failures_free(f);
}

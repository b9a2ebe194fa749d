/* What was lately with a key: kept for whom it counts most, and in no more than its table. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/base/allowance.h"
#include "lib/base/recent.h"

enum { SETS = 1 << 8 };

static int64_t set(struct recent *t, uint64_t who, int64_t number) {
  int64_t *place = recent_lock(t, slice_of((const char *)&who, sizeof who));
  int64_t before = *place;
  *place = number;
  recent_unlock(t);
  return before;
}

Test(recent, a_key_finds_its_own_number) {
  struct recent *t = recent_new(SETS);
  for (uint64_t who = 0; who < SETS / 8; who++)
    cr_assert_eq(set(t, who, 100 + (int64_t)who), 0);
  for (uint64_t who = 0; who < SETS / 8; who++)
    cr_assert_eq(set(t, who, 1), 100 + (int64_t)who);
  recent_free(t);
}

Test(recent, the_greatest_is_kept_when_others_need_the_place) {
  struct recent *t = recent_new(SETS);
  cr_assert_eq(set(t, 0, 1000), 0);
  for (uint64_t who = 1; who <= 4 * SETS * RECENT_WAYS; who++)
    cr_assert_eq(set(t, who, 1), 0);
  cr_assert_eq(set(t, 0, 1), 1000);
  recent_free(t);
}

Test(recent, who_comes_later_takes_the_place_of_the_oldest) {
  struct recent *t = recent_new(1);
  for (uint64_t who = 1; who <= RECENT_WAYS + 1; who++)
    cr_assert_eq(set(t, who, (int64_t)who), 0);
  for (uint64_t who = 2; who <= RECENT_WAYS + 1; who++)
    cr_assert_eq(set(t, who, (int64_t)who), (int64_t)who);
  cr_assert_eq(set(t, 1, 1), 0);
  recent_free(t);
}

Test(allowance, burst_then_rate) {
  struct allowance a = {0};
  usec_t now = 1000 * USEC_PER_S;
  for (int i = 0; i < 5; i++)
    cr_assert_eq(allowance_draw(&a, now, 5, 2), 0);
  cr_assert_eq(allowance_draw(&a, now, 5, 2), USEC_PER_S / 2);
  cr_assert_eq(allowance_draw(&a, now + USEC_PER_S / 4, 5, 2), USEC_PER_S / 4);
  now += USEC_PER_S / 2;
  cr_assert_eq(allowance_draw(&a, now, 5, 2), 0);
  cr_assert_neq(allowance_draw(&a, now, 5, 2), 0);
  now += 100 * USEC_PER_S;
  for (int i = 0; i < 5; i++)
    cr_assert_eq(allowance_draw(&a, now, 5, 2), 0);
  cr_assert_neq(allowance_draw(&a, now, 5, 2), 0);
}

Test(allowance, other_options_count_at_once) {
  struct allowance a = {0};
  usec_t now = USEC_PER_S;
  for (int i = 0; i < 1000; i++)
    cr_assert_eq(allowance_draw(&a, now, 1000, 1), 0);
  cr_assert_eq(allowance_draw(&a, now, 10, 10), USEC_PER_S / 10);
  cr_assert_eq(allowance_draw(&a, now, 2000, 1), 0);
}

/* What a proxy asks for of the limits of the fleet, and when: the other side is counted only. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/fleet/meter.h"
#include "lib/fleet/token.h"
#include "lib/fleet/token_text.h"
#include "lib/store/store.h"
#include "proxy/shares.h"

enum { APART_US = 250 * 1000, LIMIT = 4 };

static int asks;

static enum err count(struct store *s, const struct store_quota *q) {
  asks++;
  return OK;
}

static const struct store_ops ops = {.put_quota = count};
static struct store store = {.ops = &ops, .link = {.up = true, .proxies = 2}};

static struct token_set *set_with(const char *other, const struct token_set *before) {
  struct token_set *set = token_set_new(), *more;
  struct token t = {.name = "limited", .concurrency_max = LIMIT};
  cr_assert_eq(token_set_add(set, &t, &more), OK);
  token_set_unref(set);
  struct token free_one = {.name = (char *)other};
  token_hash(slice_str(other), free_one.hash);
  cr_assert_eq(token_set_add(more, &free_one, &set), OK);
  token_set_unref(more);
  cr_assert_eq(token_set_meter(set, before), OK);
  shares_new_tokens(set, store.link.proxies);
  return set;
}

static struct meter *meter_of(const struct token_set *set) {
  return token_set_named(set, "limited")->meter;
}

static void answer(const struct token_set *set, double allowed) {
  char name[QUOTA_NAME_BYTES], hex[TOKEN_HEX_BYTES];
  token_hex(token_set_named(set, "limited")->hash, hex);
  snprintf(name, sizeof name, "active:%s", hex);
  cr_assert(shares_give_token(set, name, allowed));
}

static int64_t allowed(const struct token_set *set) {
  return atomic_load(&meter_of(set)->active_allowed);
}

Test(shares, of_a_token_are_asked_for_again_after_tokens_changed_in_between) {
  usec_t retry_us;
  struct token_set *set = set_with("a", NULL);
  cr_assert_eq(allowed(set), LIMIT / 2, "an even share to begin with");
  cr_assert_eq(meter_enter(meter_of(set), 0, &retry_us), OK);
  shares_of_tokens(&store, set, APART_US);
  cr_assert_eq(asks, 1);
  struct token_set *after = set_with("b", set); /* while the answer is on its way */
  token_set_unref(set);
  shares_of_tokens(&store, after, APART_US);
  cr_assert_eq(asks, 1, "one at a time");
  answer(after, LIMIT);
  cr_assert_eq(allowed(after), LIMIT);
  shares_of_tokens(&store, after, APART_US);
  cr_assert_eq(asks, 2);
  answer(after, LIMIT);
  meter_leave(meter_of(after));
  token_set_unref(after);
}

Test(shares, in_use_are_kept_when_other_tokens_change) {
  usec_t retry_us;
  struct token_set *set = set_with("a", NULL);
  cr_assert_eq(meter_enter(meter_of(set), 0, &retry_us), OK);
  shares_of_tokens(&store, set, APART_US);
  answer(set, LIMIT);
  struct token_set *after = set_with("b", set);
  cr_assert_eq(allowed(after), LIMIT);
  token_set_unref(set);
  meter_leave(meter_of(after));
  token_set_unref(after);
}

/* What a fleet writes down and reads again, adds up and limits. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/fleet/endpoint.h"
#include "lib/fleet/load.h"
#include "lib/fleet/meter.h"
#include "lib/fleet/token_text.h"
#include "lib/fleet/wire.h"
#include "scheduler/config.h"
#include "scheduler/loads.h"
#include "scheduler/made.h"
#include "scheduler/policy.h"

static struct load_record record_of(const char *proxy, int64_t incarnation) {
  struct load_record r = {.incarnation = incarnation};
  strcpy(r.endpoint, "ep");
  strcpy(r.proxy, proxy);
  return r;
}

Test(load, is_read_as_it_was_written) {
  struct load_replica at = {.id = "ep-1", .active = 7};
  struct load_record r = record_of("p", 1), *read;
  r.pending = 3;
  r.held_us = INT64_MAX;
  r.seen = 9;
  r.replicas = &at;
  r.replica_count = 1;
  struct buf b = BUF_INIT(1 << 16);
  load_record_write(&r, &b);
  cr_assert_eq(load_record_read(buf_slice(&b), &read), OK);
  cr_assert(read->pending == 3 && read->held_us == INT64_MAX && read->seen == 9);
  cr_assert(read->replica_count == 1 && read->replicas[0].active == 7);
  cr_assert_str_eq(read->replicas[0].id, "ep-1");
  load_record_free(read);
  for (size_t n = 0; n < b.len; n++)
    cr_assert_neq(load_record_read(slice_of(b.data, n), &read), OK, "cut at %zu", n);
  char *negative = strstr(b.data, "\"pending\":3");
  memcpy(negative, "\"pending\":-", 11);
  cr_assert_eq(load_record_read(buf_slice(&b), &read), ERR_SYNTAX);
  buf_free(&b);
}

Test(replica, is_read_as_it_was_written) {
  struct replica_record r = {.id = "ep-1",
                             .address = "127.0.0.1:1",
                             .state = REPLICA_DRAINING,
                             .since_ms = 5,
                             .handle = "2:3:4:x",
                             .made = "00ff"},
                        read;
  struct buf b = BUF_INIT(4096);
  replica_record_write(&r, &b);
  cr_assert_eq(replica_record_read(SLICE("ep-1"), buf_slice(&b), &read), OK);
  cr_assert(read.state == r.state && read.since_ms == r.since_ms);
  cr_assert_str_eq(read.handle, r.handle);
  cr_assert_str_eq(read.made, r.made);
  struct slice older = SLICE("{\"address\":\"a\",\"state\":\"ready\"}");
  cr_assert_eq(replica_record_read(SLICE("ep-1"), older, &read), OK);
  cr_assert_str_eq(read.made, "");
  buf_free(&b);
}

/* Of a public endpoint with these options, on that host. */
static const char *made_from(const char *options, const char *host) {
  static char made[8][REPLICA_MADE_BYTES];
  static int at;
  struct scheduler_config config = {.host = (char *)host};
  struct buf text = BUF_INIT(4096), why = BUF_INIT(4096);
  struct endpoint_def *d;
  buf_printf(&text, "{\"access\": \"public\", %s}", options);
  cr_assert_eq(endpoint_def_read("ep", buf_slice(&text), &d, &why), OK, "%s", why.data);
  char *to = made[at++ % 8];
  made_of(d, &config, to);
  endpoint_def_unref(d);
  buf_free(&text);
  return to;
}

Test(made, says_what_a_replica_was_started_from) {
  const char *first = "\"process\": {\"command\": [\"a\", \"bc\"]}", *host = "127.0.0.1";
  static const char *const others[] = {
      "\"process\": {\"command\": [\"ab\", \"c\"]}", "\"process\": {\"command\": [\"a\"]}",
      "\"process\": {\"command\": [\"a\", \"bc\"], \"environment\": {\"A\": \"\"}}",
      "\"process\": {\"command\": [\"a\", \"bc\"], \"log_directory\": \"x\"}"};
  const char *made = made_from(first, host);
  cr_assert_eq(strlen(made), REPLICA_MADE_BYTES - 1);
  cr_assert_str_eq(
      made_from("\"queue_max_s\": 3, \"process\": {\"command\": [\"a\", \"bc\"]}", host), made);
  cr_assert_str_neq(made_from(first, "::1"), made);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    cr_assert_str_neq(made_from(others[i], host), made, "%zu", i);
  cr_assert_str_eq(made_from("\"driver\": \"static\", \"addresses\": [\"127.0.0.1:1\"]", host), "");
}

Test(definition, is_read_as_it_was_written_without_its_secrets) {
  struct buf why = BUF_INIT(4096), first = BUF_INIT(1 << 16), second = BUF_INIT(1 << 16);
  struct endpoint_def *d, *again;
  const char *text =
      "{\"access\": \"public\", \"hosts\": [\"a.example\"], \"cors\": {}, \"models\": [\"m\"],"
      "\"process\": {\"command\": [\"x\"], \"environment\": {\"KEY\": \"geheim\"}}}";
  cr_assert_eq(endpoint_def_read("ep", slice_str(text), &d, &why), OK, "%s", why.data);
  endpoint_def_write(d, &first);
  cr_assert_null(strstr(first.data, "geheim"));
  cr_assert_eq(endpoint_def_read("ep", buf_slice(&first), &again, &why), OK, "%s", why.data);
  endpoint_def_write(again, &second);
  cr_assert_str_eq(first.data, second.data);
  cr_assert(again->cors.enabled && again->owner == NULL);
  cr_assert_eq(endpoint_def_read("ep", SLICE("{\"acces\": 1}"), &d, &why), ERR_SYNTAX);
  cr_assert(strstr(why.data, "did you mean \"access\""));
  endpoint_def_unref(d);
  endpoint_def_unref(again);
  buf_free(&why);
  buf_free(&first);
  buf_free(&second);
}

static struct policy_sample sum(const struct loads *l) {
  struct policy_sample s = {0};
  loads_sum(l, &s);
  return s;
}

Test(loads, count_what_has_grown_whoever_comes_and_goes) {
  struct loads l;
  loads_init(&l, 1000);
  struct load_record young = record_of("young", 2000), old = record_of("old", 10);
  young.requests_total = 5;
  young.pending = 2;
  cr_assert_eq(loads_put(&l, &young), OK);
  old.requests_total = 100;
  old.requests_before = 97;
  old.pending_us = 1000;
  cr_assert_eq(loads_put(&l, &old), OK);
  cr_assert(sum(&l).requests_total == 5 + 3 && sum(&l).pending_us == 0,
            "what was before us is not ours");
  loads_gone(&l, "young");
  cr_assert(sum(&l).pending == 0 && sum(&l).requests_total == 8, "what is done stays done");
  young.requests_total = 9;
  old.pending_us = 1500;
  cr_assert(loads_put(&l, &young) == OK && loads_put(&l, &old) == OK);
  cr_assert(sum(&l).requests_total == 12 && sum(&l).pending_us == 500 && sum(&l).pending == 2);
  loads_free(&l);
}

Test(loads, a_replica_is_left_when_every_proxy_says_so) {
  struct loads l;
  loads_init(&l, 0);
  struct load_replica at = {.id = "ep-1", .active = 1};
  struct load_record a = record_of("a", 1), b = record_of("b", 1);
  const char *both[] = {"a", "b"};
  a.seen = b.seen = 7;
  a.replicas = &at;
  a.replica_count = 1;
  cr_assert_eq(loads_put(&l, &a), OK);
  cr_assert_not(loads_left(&l, "ep-1", 7, both, 2), "b has not been heard");
  cr_assert_eq(loads_put(&l, &b), OK);
  cr_assert_not(loads_left(&l, "ep-1", 7, both, 2), "a has a request there");
  a.replica_count = 0;
  cr_assert_eq(loads_put(&l, &a), OK);
  cr_assert(loads_left(&l, "ep-1", 7, both, 2));
  cr_assert_not(loads_left(&l, "ep-1", 8, both, 2), "nobody knows of that yet");
  cr_assert(loads_left(&l, "ep-1", 8, both, 0), "nobody is there");
  loads_free(&l);
}

Test(loads, are_bounded) {
  struct loads l;
  loads_init(&l, 0);
  char proxy[PROXY_ID_BYTES];
  for (int i = 0; i < LOAD_PROXIES_MAX; i++) {
    snprintf(proxy, sizeof proxy, "p%d", i);
    struct load_record r = record_of(proxy, 1);
    cr_assert_eq(loads_put(&l, &r), OK);
  }
  struct load_record more = record_of("more", 1);
  cr_assert_eq(loads_put(&l, &more), ERR_LIMIT);
  loads_gone(&l, "p3");
  cr_assert_eq(loads_put(&l, &more), OK, "in the place of one that is silent");
  loads_free(&l);
}

#define HASH "\"sha256\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","

Test(token, that_says_something_else_than_it_may_is_not_read) {
  static const char *const wrong[] = {"\"name\":1",
                                      "\"owner\":1",
                                      "\"organisations\":\"o\"",
                                      "\"organisations\":[1]",
                                      "\"endpoints\":\"ep\"",
                                      "\"endpoints\":[[\"ep\"]]",
                                      "\"endpoints\":{}",
                                      "\"expires\":\"2020-01-01\"",
                                      "\"expires\":1.5",
                                      "\"expires\":-1",
                                      "\"concurrency_max\":2.5",
                                      "\"concurrency_max\":\"2\"",
                                      "\"requests_per_s\":-1",
                                      "\"requests_per_s\":\"1\""};
  char text[512];
  struct token *t;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    snprintf(text, sizeof text, "{" HASH "%s%s}", i ? "\"name\":\"n\"," : "", wrong[i]);
    cr_assert_eq(token_read(slice_str(text), &t), ERR_SYNTAX, "%s", text);
  }
  cr_assert_eq(token_read(SLICE("{" HASH "\"name\":\"n\",\"owner\":null}"), &t), OK);
  token_free(t);
}

Test(token, that_cannot_be_written_is_not_written_in_part) {
  char *words[] = {(char *)"\xff", NULL};
  struct token t = {.name = (char *)"n", .endpoints = words};
  struct buf out = BUF_INIT(4096);
  token_write(&t, &out);
  cr_assert(out.failed, "without its endpoints it would open them all");
  buf_free(&out);
}

static int passed(struct meter *m, int times, usec_t *at, usec_t step) {
  int n = 0;
  usec_t retry;
  for (int i = 0; i < times; i++, *at += step)
    if (meter_enter(m, *at, &retry) == OK) {
      n++;
      meter_leave(m);
    }
  return n;
}

Test(meter, keeps_the_rate_with_a_burst_of_one_second) {
  struct meter *m = meter_new(0, 10);
  usec_t now = 1000 * USEC_PER_S, retry;
  cr_assert_eq(passed(m, 100, &now, 0), 10);
  cr_assert_eq(meter_enter(m, now, &retry), ERR_LIMIT);
  cr_assert(retry > 0 && retry <= USEC_PER_S / 10);
  int n = passed(m, 1000, &now, 10 * USEC_PER_MS);
  cr_assert(n >= 99 && n <= 101, "ten seconds: %d", n);
  meter_allow_rate(m, 0);
  passed(m, 10, &now, USEC_PER_S);
  meter_allow_rate(m, 10);
  now += USEC_PER_S;
  cr_assert(passed(m, 100, &now, 10 * USEC_PER_MS) >= 8, "what was slow before does not last");
  meter_unref(m);
}

Test(meter, keeps_how_many_at_once) {
  struct meter *m = meter_new(3, 0);
  usec_t retry;
  for (int i = 0; i < 3; i++)
    cr_assert_eq(meter_enter(m, 0, &retry), OK);
  cr_assert_eq(meter_enter(m, 0, &retry), ERR_LIMIT);
  meter_leave(m);
  meter_allow_concurrency(m, 2);
  cr_assert_eq(meter_enter(m, 0, &retry), ERR_LIMIT);
  meter_leave(m);
  cr_assert_eq(meter_enter(m, 0, &retry), OK);
  meter_unref(m);
}

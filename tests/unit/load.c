/* The load client's parts that are pure: histogram, distributions, arrivals, the scanner of events,
 * URLs, bodies, options. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/arrivals.h"
#include "bench/load/histogram.h"
#include "bench/load/options.h"
#include "bench/load/sse.h"
#include "bench/load/tally.h"
#include "bench/load/url.h"
#include "bench/load/workload.h"
#include "lib/base/buf.h"
#include "lib/http/http1.h"

/* ---- histogram ---- */

Test(histogram, is_off_by_less_than_a_thousandth_at_any_value) {
  static struct histogram h;
  for (int64_t value = 1; value < INT64_C(1) << (HISTOGRAM_VALUE_BITS - 1);
       value += 1 + value / 7) {
    memset(&h, 0, sizeof h);
    histogram_add(&h, value);
    histogram_add(&h, value * 4); /* so that the maximum does not help */
    double found = histogram_quantile(&h, 0.5);
    cr_assert(fabs(found - (double)value) <= 0.001 * (double)value, "%ld was %f", (long)value,
              found);
  }
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

Test(histogram, agrees_with_a_sorted_list) {
  static struct histogram h;
  struct draw d;
  enum { COUNT = 10000 };
  static double sorted[COUNT];
  draw_seed(&d, 3);
  for (int i = 0; i < COUNT; i++) {
    int64_t value = (int64_t)draw_exponential(&d, 20000);
    histogram_add(&h, value);
    sorted[i] = (double)value;
  }
  qsort(sorted, COUNT, sizeof *sorted, compare);
  const double shares[] = {.5, .9, .99, .999, 1};
  for (int i = 0; i < 5; i++) {
    double exact = sorted[(int)ceil(shares[i] * COUNT) - 1];
    cr_assert(fabs(histogram_quantile(&h, shares[i]) - exact) <= 0.001 * exact + 1);
  }
  cr_assert_eq(h.count, COUNT);
  cr_assert(fabs(histogram_mean(&h) - 20000) < 600);
}

Test(histogram, takes_what_is_outside_and_adds_up) {
  static struct histogram a, b;
  cr_assert_eq(histogram_quantile(&a, 0.5), 0);
  histogram_add(&a, -5);
  histogram_add(&b, INT64_MAX);
  histogram_merge(&a, &b);
  cr_assert_eq(a.count, 2);
  cr_assert_eq(histogram_quantile(&a, 0.5), 0);
  cr_assert_eq(a.max, (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1);
}

Test(tally, forgets_all_but_what_is_open) {
  static struct tally t;
  t.started = 10;
  t.done = t.ok = 4;
  t.aborted = 2;
  t.errors[ERROR_RESET] = 1;
  tally_restart(&t);
  cr_assert_eq(t.started, 3);
  cr_assert_eq(tally_ended(&t), 0);
}

/* ---- chance ---- */

static struct distribution parsed(const char *text) {
  struct distribution d;
  struct buf why = BUF_INIT(512);
  cr_assert_eq(distribution_parse(text, &d, &why), OK, "%s", text);
  buf_free(&why);
  return d;
}

Test(distribution, refuses_what_it_does_not_know_and_says_what_it_does) {
  const char *wrong[] = {"",           "fixed",       "fixed:",    "fixed:x",
                         "fixed:-1",   "fixed:1:2",   "uniform:1", "uniform:2:1",
                         "normal:1:1", "lognormal:5", "fixed:inf", "exponential:nan"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct distribution d;
    struct buf why = BUF_INIT(512);
    cr_assert_eq(distribution_parse(wrong[i], &d, &why), ERR_SYNTAX, "%s", wrong[i]);
    cr_assert(strstr(why.data, "lognormal:MEDIAN:SIGMA"));
    buf_free(&why);
  }
}

static double median_of(const char *text, uint64_t seed, double *mean) {
  static struct histogram h;
  struct distribution d = parsed(text);
  struct draw from;
  memset(&h, 0, sizeof h);
  draw_seed(&from, seed);
  for (int i = 0; i < 20000; i++)
    histogram_add(&h, (int64_t)distribution_draw(&d, &from, 1, 1000000));
  *mean = histogram_mean(&h);
  return histogram_quantile(&h, 0.5);
}

Test(distribution, has_the_shape_its_name_says) {
  double mean;
  cr_assert_eq(median_of("fixed:7", 1, &mean), 7);
  cr_assert(fabs(median_of("uniform:10:30", 1, &mean) - 20) <= 1);
  cr_assert(fabs(mean - 20) < 0.3);
  cr_assert(fabs(median_of("lognormal:400:0.5", 1, &mean) - 400) < 12);
  cr_assert(fabs(mean - 400 * exp(0.125)) < 10);
  cr_assert(fabs(median_of("exponential:1000", 1, &mean) - 1000 * log(2)) < 25);
  cr_assert(fabs(mean - 1000) < 25);
}

Test(distribution, repeats_itself_with_the_same_seed_and_keeps_its_bounds) {
  struct distribution d = parsed("lognormal:50:3");
  struct draw a, b, other;
  bool differs = false;
  draw_seed(&a, 9);
  draw_seed(&b, 9);
  draw_seed(&other, 10);
  for (int i = 0; i < 1000; i++) {
    size_t n = distribution_draw(&d, &a, 5, 90);
    cr_assert_eq(n, distribution_draw(&d, &b, 5, 90));
    cr_assert(n >= 5 && n <= 90);
    differs |= n != distribution_draw(&d, &other, 5, 90);
  }
  cr_assert(differs);
}

Test(arrivals, of_a_constant_rate_do_not_drift) {
  struct arrivals a;
  struct draw d;
  draw_seed(&d, 1);
  arrivals_begin(&a, ARRIVALS_CONSTANT, 3, 1000);
  cr_assert_eq(arrivals_due(&a), 1000);
  for (int i = 0; i < 3000; i++)
    arrivals_advance(&a, &d);
  cr_assert(llabs(arrivals_due(&a) - 1000 - 1000 * USEC_PER_S) <= 1);
}

Test(arrivals, of_poisson_have_the_rate_and_its_spread) {
  struct arrivals a;
  struct draw d;
  double sum = 0, squares = 0;
  enum { COUNT = 20000 };
  draw_seed(&d, 1);
  arrivals_begin(&a, ARRIVALS_POISSON, 1000, 0);
  for (int i = 0; i < COUNT; i++) {
    usec_t before = arrivals_due(&a);
    arrivals_advance(&a, &d);
    double gap = (double)(arrivals_due(&a) - before);
    sum += gap;
    squares += gap * gap;
  }
  double mean = sum / COUNT, deviation = sqrt(squares / COUNT - mean * mean);
  cr_assert(fabs(mean - 1000) < 25);
  cr_assert(fabs(deviation - 1000) < 40, "as large as the mean");
}

/* ---- events ---- */

static const char stream[] =
    ": a comment\n\n"
    "data: "
    "{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_"
    "reason\":null}]}\n\n"
    "data: "
    "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}],\"index\":0,"
    "\"sent_us\":1234567}\n\n"
    "data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"\\\"\"}, \"finish_reason\": "
    "null}]}\r\n\r\n"
    "data: "
    "{\"choices\":[{\"text\":\"\\\"content\\\":\\\"x\",\"finish_reason\":null}],\"index\":12,"
    "\"sent_us\":9}\n\n"
    "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"{\"}}]}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{\"content\":null},\"finish_reason\":\"stop\"}]}\n\n"
    "data: {\"choices\":[],\"usage\":{\"completion_tokens\":17}}\n\n"
    "data: [DONE]\n\n";

static const struct sse_event expected[] = {
    {0},
    {.token = true, .stamped = true, .index = 0, .sent_us = 1234567},
    {.token = true},
    {.token = true, .stamped = true, .index = 12, .sent_us = 9},
    {.token = true},
    {.token = true},
    {.finish = true},
    {0},
    {.done = true},
};
enum { EXPECTED = sizeof expected / sizeof *expected };

static void event_check(const struct sse_event *e, size_t i) {
  cr_assert_lt(i, EXPECTED);
  const struct sse_event *x = &expected[i];
  cr_assert(e->token == x->token && e->finish == x->finish && e->done == x->done, "event %zu", i);
  cr_assert(e->stamped == x->stamped &&
                (!e->stamped || (e->index == x->index && e->sent_us == x->sent_us)),
            "event %zu", i);
}

/* The stream in pieces that end at `a`, at `b`, and at its end. */
static void stream_check(size_t a, size_t b) {
  const size_t ends[] = {a, b, sizeof stream - 1};
  struct sse s;
  struct sse_event e;
  size_t count = 0, from = 0;
  sse_prepare();
  sse_begin(&s);
  for (int i = 0; i < 3; i++) {
    /* memory of its own, so that a sanitizer sees a byte too many */
    char *copy = malloc(ends[i] - from + 1);
    memcpy(copy, stream + from, ends[i] - from);
    struct slice in = slice_of(copy, ends[i] - from);
    while (sse_next(&s, &in, &e))
      event_check(&e, count++);
    cr_assert_eq(in.len, 0);
    free(copy);
    from = ends[i];
  }
  cr_assert_eq(count, EXPECTED);
  cr_assert_eq(s.completion_tokens, 17);
}

Test(sse, finds_the_same_events_split_at_every_byte) {
  for (size_t a = 0; a < sizeof stream; a++)
    stream_check(a, a + 7 < sizeof stream - 1 ? a + 7 : sizeof stream - 1);
}

Test(sse, finds_the_same_events_byte_by_byte) {
  struct sse s;
  struct sse_event e;
  size_t count = 0;
  sse_prepare();
  sse_begin(&s);
  for (size_t i = 0; i < sizeof stream - 1; i++) {
    struct slice in = slice_of(stream + i, 1);
    while (sse_next(&s, &in, &e))
      event_check(&e, count++);
  }
  cr_assert_eq(count, EXPECTED);
}

/* ---- where to, and what ---- */

Test(url, has_parts) {
  struct url u;
  struct buf why = BUF_INIT(1024);
  cr_assert_eq(url_parse("https://localhost:8443/v1/", &u, &why), OK);
  cr_assert(u.tls && u.port == 8443);
  cr_assert_str_eq(u.host, "localhost");
  cr_assert_str_eq(u.authority, "localhost:8443");
  cr_assert_str_eq(u.path, "/v1");
  cr_assert_eq(url_parse("http://[::1]", &u, &why), OK);
  cr_assert(!u.tls && u.port == 80);
  cr_assert_str_eq(u.host, "::1");
  cr_assert_str_eq(u.path, "/");
  cr_assert_eq(url_parse("http://h?q=1", &u, &why), OK);
  cr_assert_str_eq(u.path, "/?q=1");
  const char *wrong[] = {"",
                         "localhost",
                         "ftp://x/",
                         "http://",
                         "http://x:0/",
                         "http://x:99999/",
                         "http://[::1/",
                         "http://x/a b"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    cr_assert_neq(url_parse(wrong[i], &u, &why), OK, "%s", wrong[i]);
  buf_free(&why);
}

static enum err read_options(struct options *o, struct buf *why, const char *line) {
  static char text[512], *argv[32];
  int argc = 0;
  strcpy(text, line);
  for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
    argv[argc++] = word;
  buf_clear(why);
  return options_read(o, argc, argv, why);
}

Test(options, say_what_is_wrong_and_what_would_be_right) {
  const char *wrong[][2] = {
      {"", "URL"},
      {"--nope http://h/", "no option --nope"},
      {"--connections 0 http://h/", "--connections: '0'"},
      {"--connections 1.5 http://h/", "whole number"},
      {"--abort 2 http://h/", "from 0 to 1"},
      {"--kind talk http://h/", "chat, stream, completion"},
      {"--http 3 http://h/", "auto, 1, 2"},
      {"--prompt big http://h/", "--prompt: 'big'"},
      {"http://h/ --duration", "--duration needs a value"},
      {"--resume=yes http://h/", "takes no value"},
      {"--http 1 --streams 4 http://h/", "use --connections"},
      {"--hold --rate 5 http://h/", "leave out --rate"},
      {"--method PUT http://h/", "--kind get or post"},
      {"http://h/ http://i/", "one URL"},
  };
  struct options o;
  struct buf why = BUF_INIT(4096);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    cr_assert_neq(read_options(&o, &why, wrong[i][0]), OK, "%s", wrong[i][0]);
    cr_assert(strstr(why.data, wrong[i][1]), "%s: %s", wrong[i][0], why.data);
  }
  buf_free(&why);
}

Test(options, have_defaults_and_take_both_spellings) {
  struct options o;
  struct buf why = BUF_INIT(4096);
  cr_assert_eq(
      read_options(&o, &why, "--connections=8 --streams 4 --http 2 --token a --token b http://h/"),
      OK);
  cr_assert(o.connections == 8 && o.streams == 4 && o.http == HTTP_2 && o.tokens.count == 2);
  cr_assert(o.duration_s == 10 && o.kind == KIND_STREAM);
  cr_assert_eq(read_options(&o, &why, "--requests 5 http://h/"), OK);
  cr_assert_eq(o.duration_s, 0);
  cr_assert_eq(read_options(&o, &why, "--help"), ERR_ABSENT);
  buf_free(&why);
}

/* A body is the same in whatever pieces it is asked for, and as long as was said. */
Test(workload, writes_a_body_in_any_pieces) {
  struct options o;
  struct workload w;
  struct url u;
  struct buf why = BUF_INIT(4096);
  cr_assert_eq(read_options(&o, &why, "--model m\"x http://h/v1"), OK);
  cr_assert_eq(url_parse(o.url, &u, &why), OK);
  cr_assert_eq(workload_open(&w, &o, &u, &why), OK);
  struct workload_body b;
  static char whole[70000], pieces[70000];
  workload_body_begin(&b, &w, &w.rows[0], 66000, 345);
  cr_assert_eq(workload_body_copy(&b, whole, sizeof whole), b.length);
  cr_assert(strstr(whole, "\"model\":\"m\\\"x\",\"stream\":true,\"max_tokens\":345,\"messages\""));
  cr_assert_eq(atol(b.length_text), (long)b.length);
  for (size_t step = 1; step < 70000; step = step * 5 + 2) {
    workload_body_begin(&b, &w, &w.rows[0], 66000, 345);
    size_t at = 0, n;
    while ((n = workload_body_copy(&b, pieces + at, step)) > 0)
      at += n;
    cr_assert_eq(at, b.length);
    cr_assert_arr_eq(pieces, whole, at);
  }
  cr_assert(slice_equal(w.rows[0].path, SLICE("/v1/chat/completions")));
  workload_close(&w);
  buf_free(&why);
}

Test(workload, draws_kinds_by_their_shares_and_tokens_in_turn) {
  struct workload w = {.row_count = 3};
  w.rows[0] = (struct workload_row){.kind = KIND_CHAT, .share = 1, .protocol = 1};
  w.rows[1] = (struct workload_row){.kind = KIND_STREAM, .share = 2, .protocol = 2};
  w.rows[2] = (struct workload_row){.kind = KIND_GET, .share = 1};
  struct draw d;
  int all[WORKLOAD_KINDS] = {0}, second[WORKLOAD_KINDS] = {0};
  draw_seed(&d, 1);
  for (int i = 0; i < 40000; i++) {
    all[workload_draw(&w, 0, &d)->kind]++;
    second[workload_draw(&w, 2, &d)->kind]++;
  }
  cr_assert(abs(all[KIND_CHAT] - 10000) < 400 && abs(all[KIND_STREAM] - 20000) < 400);
  cr_assert(second[KIND_CHAT] == 0 && abs(second[KIND_STREAM] - 26667) < 500);
  cr_assert_eq(workload_share(&w, 1), 1.5);
  struct slice tokens[] = {SLICE("a"), SLICE("b")};
  w.authorizations = tokens;
  w.authorization_count = 2;
  cr_assert(slice_equal(workload_authorization(&w), SLICE("a")));
  cr_assert(slice_equal(workload_authorization(&w), SLICE("b")));
  cr_assert(slice_equal(workload_authorization(&w), SLICE("a")));
}

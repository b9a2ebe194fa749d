/* A body on its way: order, credit, limits, replay. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/base/chunk.h"
#include "proxy/request/pipe.h"

static size_t credit, room, ends;
static char got[65536];
static size_t got_len;

static void on_credit(struct pipe *p, size_t n) {
  credit += n;
}

static size_t on_write(struct pipe *p, struct slice bytes) {
  size_t n = bytes.len < room ? bytes.len : room;
  memcpy(got + got_len, bytes.data, n);
  got_len += n;
  room -= n;
  return n;
}

static void on_end(struct pipe *p) {
  ends++;
}

static const struct pipe_source_ops source = {on_credit};
static const struct pipe_sink_ops sink = {on_write, on_end};
static struct chunks *chunks;
static struct pipe p;

static void setup(void) {
  chunks = chunks_new(0, 4);
  pipe_init(&p, chunks, 100, 50);
  p.source = &source;
  credit = room = ends = got_len = 0;
}

static void teardown(void) {
  pipe_close(&p);
  cr_assert_eq(chunks_live(chunks), 0);
  chunks_free(chunks);
}

TestSuite(pipe, .init = setup, .fini = teardown);

Test(pipe, passes_on_at_once_what_the_sink_takes) {
  room = 3;
  pipe_connect(&p, &sink, NULL);
  cr_assert_eq(pipe_write(&p, SLICE("hello")), OK);
  cr_assert(got_len == 3 && credit == 3 && p.queue.len == 2);
  pipe_end(&p);
  cr_assert_eq(ends, 0, "not before all is taken");
  room = 100;
  pipe_pump(&p);
  cr_assert(got_len == 5 && credit == 5 && ends == 1);
  cr_assert_eq(memcmp(got, "hello", 5), 0);
}

Test(pipe, waits_for_a_sink_and_says_when_it_is_full) {
  char bytes[100] = {0};
  cr_assert_eq(pipe_write(&p, slice_of(bytes, 99)), OK);
  cr_assert_not(pipe_full(&p));
  cr_assert_eq(pipe_write(&p, slice_of(bytes, 1)), OK);
  cr_assert(pipe_full(&p) && credit == 0);
  char to[200];
  cr_assert_eq(pipe_take(&p, to, 60), 60);
  cr_assert_eq(credit, 60);
}

Test(pipe, swallows_with_credit_once_it_is_closed) {
  pipe_close(&p);
  cr_assert_eq(pipe_write(&p, SLICE("hello")), OK);
  cr_assert_eq(credit, 5);
}

Test(pipe, can_be_replayed_within_its_limit) {
  room = 1000;
  pipe_connect(&p, &sink, NULL);
  cr_assert_eq(pipe_write(&p, SLICE("hello ")), OK);
  cr_assert(pipe_can_rewind(&p));
  cr_assert_eq(pipe_rewind(&p), OK);
  cr_assert_eq(pipe_write(&p, SLICE("world")), OK);
  pipe_end(&p);
  pipe_connect(&p, &sink, NULL);
  cr_assert_eq(got_len, 17);
  cr_assert_eq(memcmp(got, "hello hello world", 17), 0);
  cr_assert_eq(ends, 1);
}

Test(pipe, is_not_replayed_beyond_its_limit) {
  char bytes[51] = {0};
  room = 1000;
  pipe_connect(&p, &sink, NULL);
  cr_assert_eq(pipe_write(&p, slice_of(bytes, sizeof bytes)), OK);
  cr_assert_not(pipe_can_rewind(&p));
  cr_assert_eq(p.kept.len, 0);
}

Test(pipe, gives_credit_once_for_what_it_lent) {
  cr_assert_eq(pipe_write(&p, SLICE("hello")), OK);
  pipe_lend(&p);
  cr_assert_eq(credit, 5);
  cr_assert_eq(pipe_write(&p, SLICE(" world")), OK);
  room = 100;
  pipe_connect(&p, &sink, NULL);
  cr_assert(got_len == 11 && credit == 11, "%zu", credit);
  cr_assert_eq(pipe_rewind(&p), OK);
  got_len = 0;
  pipe_connect(&p, &sink, NULL);
  cr_assert(got_len == 11 && credit == 11, "nor for what is sent again");
}

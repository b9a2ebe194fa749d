/* The ground floor: what queues, arenas, maps and heaps promise, and their limits. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/chunk.h"
#include "lib/base/heap.h"
#include "lib/base/map.h"
#include "lib/base/pool.h"
#include "lib/base/stash.h"

Test(chunkq, gives_back_what_was_put_in_however_it_is_taken) {
  struct chunks *chunks = chunks_new(0, 4);
  for (size_t step = 1; step < 9000; step = step * 3 + 1) {
    struct chunkq q = {0};
    char in[20000], out[20000];
    for (size_t i = 0; i < sizeof in; i++)
      in[i] = (char)(i * 31 + step);
    for (size_t at = 0; at < sizeof in; at += step)
      cr_assert_eq(chunkq_append(&q, chunks,
                                 slice_of(in + at, sizeof in - at < step ? sizeof in - at : step)),
                   OK);
    cr_assert_eq(q.len, sizeof in);
    size_t got = 0;
    while (got < sizeof out)
      got += chunkq_take(&q, chunks, out + got,
                         step / 2 + 1 < sizeof out - got ? step / 2 + 1 : sizeof out - got);
    cr_assert_arr_eq(in, out, sizeof in);
    cr_assert_eq(chunks_live(chunks), 0, "an empty queue owns no chunk");
  }
  chunks_free(chunks);
}

Test(chunkq, takes_all_or_nothing_when_the_store_is_exhausted) {
  struct chunks *chunks = chunks_new(2 * CHUNK_LARGE_BYTES, 0);
  struct chunkq q = {0};
  char bytes[3 * CHUNK_LARGE_BYTES] = {0};
  cr_assert_eq(chunkq_append(&q, chunks, slice_of(bytes, sizeof bytes)), ERR_MEMORY);
  cr_assert_eq(q.len, 0);
  cr_assert_eq(chunkq_append(&q, chunks, slice_of(bytes, CHUNK_LARGE_BYTES)), OK);
  chunkq_clear(&q, chunks);
  cr_assert_eq(chunks_live(chunks), 0);
  chunks_free(chunks);
}

Test(chunkq, holds_little_when_little_waits) {
  struct chunks *chunks = chunks_new(0, 4);
  struct chunkq q = {0};
  char bytes[CHUNK_LARGE_BYTES] = {0};
  cr_assert_eq(chunkq_append(&q, chunks, slice_of(bytes, 1024)), OK);
  cr_assert_eq(chunks_live(chunks), CHUNK_SMALL_BYTES);
  cr_assert_eq(chunkq_append(&q, chunks, slice_of(bytes, sizeof bytes)), OK);
  cr_assert_leq(chunks_live(chunks), CHUNK_LARGE_BYTES + 2 * CHUNK_SMALL_BYTES);
  chunkq_clear(&q, chunks);
  cr_assert_eq(chunks_live(chunks), 0);
  chunks_free(chunks);
}

Test(arena, stops_at_its_limit_and_gives_everything_back) {
  struct pool *blocks = pool_new(2048, 4, 0);
  struct arena a;
  arena_init(&a, blocks, 10000);
  size_t got = 0;
  while (arena_alloc(&a, 100))
    got += 100;
  cr_assert(got > 5000 && got <= 10000);
  arena_reset(&a);
  cr_assert_eq(pool_live(blocks), 0);
  cr_assert_not_null(arena_alloc(&a, 5000), "larger than a block");
  cr_assert_null(arena_alloc(&a, 9000));
  arena_reset(&a);
  pool_free(blocks);
}

Test(map, keeps_removes_and_refuses) {
  struct map m;
  char keys[1000][8];
  map_init(&m, 1000);
  for (int i = 0; i < 1000; i++) {
    snprintf(keys[i], sizeof keys[i], "k%d", i);
    cr_assert_eq(map_put(&m, slice_str(keys[i]), keys[i]), OK);
  }
  cr_assert_eq(map_put(&m, SLICE("one more"), keys), ERR_LIMIT);
  for (int i = 0; i < 1000; i += 2)
    cr_assert_eq(map_remove(&m, slice_str(keys[i])), keys[i]);
  for (int i = 0; i < 1000; i++)
    cr_assert_eq(map_get(&m, slice_str(keys[i])), i % 2 ? keys[i] : NULL);
  map_clear(&m);
}

Test(heap, is_in_order_whatever_moves) {
  struct heap h = {0};
  struct heap_node nodes[200] = {0};
  for (int i = 0; i < 200; i++)
    cr_assert_eq(heap_set(&h, &nodes[i], i * 7919 % 1000), OK);
  for (int i = 0; i < 200; i += 3)
    cr_assert_eq(heap_set(&h, &nodes[i], i * 104729 % 1000), OK);
  for (int i = 1; i < 200; i += 5)
    heap_remove(&h, &nodes[i]);
  usec_t before = -1;
  for (struct heap_node *n; (n = heap_first(&h)); heap_remove(&h, n)) {
    cr_assert(n->at >= before);
    before = n->at;
  }
  heap_clear(&h);
}

Test(buf, fails_once_and_for_all) {
  struct buf b = BUF_INIT(20);
  buf_json(&b, SLICE("a\"\n"));
  cr_assert_str_eq(b.data, "\"a\\\"\\u000a\"");
  buf_str(&b, "far too long for it");
  buf_str(&b, "x");
  cr_assert(b.failed);
  buf_free(&b);
}

Test(buf, writes_integers_of_all_sizes) {
  static const int64_t numbers[] = {0, 9, 10, -1, -10, 1234567890123, INT64_MAX, INT64_MIN};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    struct buf b = BUF_INIT(32);
    char expected[32];
    snprintf(expected, sizeof expected, "%lld", (long long)numbers[i]);
    buf_integer(&b, numbers[i]);
    cr_assert_str_eq(b.data, expected);
    buf_free(&b);
  }
}

Test(stash, keeps_what_is_left_and_stops_at_its_limit) {
  struct stash s = STASH_INIT(10000);
  char bytes[6000];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (char)(i * 31);
  cr_assert_eq(stash_append(&s, SLICE_NONE), OK);
  cr_assert_null(s.data, "nothing in it, no memory");
  cr_assert_eq(stash_append(&s, slice_of(bytes, sizeof bytes)), OK);
  cr_assert_eq(stash_append(&s, slice_of(bytes, sizeof bytes)), ERR_LIMIT);
  cr_assert_eq(stash_append(&s, slice_of(bytes, 4000)), OK);
  cr_assert_eq(stash_append(&s, SLICE("x")), ERR_LIMIT);
  stash_drop(&s, 5000);
  cr_assert_eq(s.len, 5000);
  cr_assert_arr_eq(s.data, bytes + 5000, 1000);
  struct slice all = stash_take(&s);
  cr_assert(all.len == 5000 && s.len == 0);
  cr_assert_eq(stash_append(&s, slice_skip(all, 1000)), OK);
  cr_assert_arr_eq(s.data, bytes, 4000);
  stash_drop(&s, 4000);
  cr_assert(s.len == 0 && s.room == 0, "large memory is not kept");
  stash_free(&s);
}

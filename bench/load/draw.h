/* Chance that can be repeated: a generator with a seed, and what is drawn from it. Not for
 * secrets. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct buf;

struct draw {
  uint64_t state[4];
};

/* The same seed gives the same sequence. */
void draw_seed(struct draw *d, uint64_t seed);
uint64_t draw_next(struct draw *d);
/* 0 <= x < 1 */
double draw_unit(struct draw *d);
/* With this mean: the time to the next event of a Poisson process. */
double draw_exponential(struct draw *d, double mean);

enum distribution_shape { FIXED, UNIFORM, LOGNORMAL, EXPONENTIAL };

struct distribution {
  enum distribution_shape shape;
  double a, b; /* fixed: N; uniform: from, to; lognormal: median, sigma; exponential: mean */
};

/* "fixed:N", "uniform:A:B", "lognormal:MEDIAN:SIGMA", "exponential:MEAN". On error *why says what
 * is wrong and what would be right. */
enum err distribution_parse(const char *text, struct distribution *d, struct buf *why) MUST_CHECK;
/* A whole number from `least` to `most`. */
size_t distribution_draw(const struct distribution *d, struct draw *from, size_t least,
                         size_t most);

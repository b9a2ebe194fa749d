#include "bench/load/draw.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"

/* splitmix64: spreads a small seed over the state. */
static uint64_t spread(uint64_t *seed) {
  uint64_t z = *seed += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

void draw_seed(struct draw *d, uint64_t seed) {
  for (int i = 0; i < 4; i++)
    d->state[i] = spread(&seed);
}

static uint64_t rotate(uint64_t x, int by) {
  return x << by | x >> (64 - by);
}

/* xoshiro256** */
uint64_t draw_next(struct draw *d) {
  uint64_t *s = d->state, out = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return out;
}

double draw_unit(struct draw *d) {
  return (double)(draw_next(d) >> 11) * 0x1p-53;
}

double draw_exponential(struct draw *d, double mean) {
  return -mean * log1p(-draw_unit(d));
}

static double draw_normal(struct draw *d) {
  double radius = sqrt(draw_exponential(d, 2));
  return radius * cos(2 * M_PI * draw_unit(d));
}

static const struct {
  const char *name;
  int numbers;
} shapes[] = {
    [FIXED] = {"fixed", 1},
    [UNIFORM] = {"uniform", 2},
    [LOGNORMAL] = {"lognormal", 2},
    [EXPONENTIAL] = {"exponential", 1},
};

/* ":" and a number, zero or more. */
static bool number_next(const char **at, double *to) {
  char *end;
  if (**at != ':')
    return false;
  *to = strtod(*at + 1, &end);
  if (end == *at + 1 || !(*to >= 0) || isinf(*to))
    return false;
  *at = end;
  return true;
}

static bool numbers_read(struct distribution *d, const char *at) {
  if (!number_next(&at, &d->a) || (shapes[d->shape].numbers == 2 && !number_next(&at, &d->b)))
    return false;
  return *at == '\0' && (d->shape != UNIFORM || d->a <= d->b);
}

enum err distribution_parse(const char *text, struct distribution *d, struct buf *why) {
  for (int i = 0; i < (int)(sizeof shapes / sizeof *shapes); i++) {
    size_t n = strlen(shapes[i].name);
    *d = (struct distribution){.shape = (enum distribution_shape)i};
    if (strncmp(text, shapes[i].name, n) == 0 && text[n] == ':' && numbers_read(d, text + n))
      return OK;
  }
  buf_printf(why,
             "'%s' is no distribution; write fixed:N, uniform:A:B (A not above B), "
             "lognormal:MEDIAN:SIGMA or exponential:MEAN",
             text);
  return ERR_SYNTAX;
}

static double shape_draw(const struct distribution *d, struct draw *from) {
  switch (d->shape) {
  case UNIFORM:
    return floor(d->a + draw_unit(from) * (d->b - d->a + 1));
  case LOGNORMAL:
    return d->a * exp(d->b * draw_normal(from));
  case EXPONENTIAL:
    return draw_exponential(from, d->a);
  case FIXED:
    break;
  }
  return d->a;
}

size_t distribution_draw(const struct distribution *d, struct draw *from, size_t least,
                         size_t most) {
  double n = round(shape_draw(d, from));
  return n <= (double)least ? least : n >= (double)most ? most : (size_t)n;
}

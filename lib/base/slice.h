/* A view of bytes that somebody else owns.  Never NUL-terminated by promise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct slice {
  const char *data;
  size_t len;
};

#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
#define SLICE_NONE ((struct slice){NULL, 0})
/* For printf: "%.*s", SLICE_ARG(s) */
#define SLICE_ARG(s) (int)(s).len, (s).data ? (s).data : ""

static inline struct slice slice_of(const char *data, size_t len) {
  return (struct slice){data, len};
}

static inline struct slice slice_str(const char *text) {
  return (struct slice){text, text ? strlen(text) : 0};
}

static inline bool slice_equal(struct slice a, struct slice b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* ASCII case is ignored, as for field names and host names. */
static inline bool slice_equal_nocase(struct slice a, struct slice b) {
  return a.len == b.len && (a.len == 0 || strncasecmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix) {
  return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

/* Without the first n bytes (all of them when there are fewer). */
static inline struct slice slice_skip(struct slice s, size_t n) {
  if (n > s.len)
    n = s.len;
  return (struct slice){s.data + n, s.len - n};
}

/* Without blanks and tabs at both ends (RFC 9110, 5.6.3: OWS). */
static inline struct slice slice_trim(struct slice s) {
  while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
    s = slice_skip(s, 1);
  while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
    s.len--;
  return s;
}

/* Cuts the next element of a comma-separated list (RFC 9110, 5.6.1) from *rest,
 * trimmed; empty elements are skipped.  False when none is left. */
bool slice_list_next(struct slice *rest, struct slice *element);
/* Whether such a list has the element; ASCII case is ignored. */
bool slice_list_has(struct slice list, struct slice element);

/* Decimal digits only, at least one, no sign; false on anything else and on
 * overflow of 63 bits. */
bool slice_decimal(struct slice s, long long *value);
/* A number in decimal digits, at the end of the caller's memory. */
enum { SLICE_NUMBER_BYTES = 20 };
struct slice slice_number(char room[SLICE_NUMBER_BYTES], uint64_t value);

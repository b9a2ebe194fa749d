/* What is asked: the kinds of requests with their shares, lengths and bodies, and the heads they
 * begin with, made once. Drawn from while the load runs, without allocation. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/load/draw.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct buf;
struct options;
struct url;

enum workload_kind {
  KIND_CHAT,
  KIND_STREAM,
  KIND_COMPLETION,
  KIND_EMBEDDINGS,
  KIND_UPLOAD,
  KIND_GET,
  KIND_POST,
  WORKLOAD_KINDS
};

enum {
  WORKLOAD_ROWS_MAX = 32,
  WORKLOAD_FIELDS_MAX = 80,          /* of a head */
  WORKLOAD_HEAD_BYTES = 16 * 1024,   /* a whole HTTP/1 head */
  WORKLOAD_FILE_BYTES = 256 << 20,   /* of --body, --tokens-file, --mix */
  WORKLOAD_TOKENS_MAX = 1000 * 1000, /* in --tokens-file */
  WORKLOAD_NUMBER_BYTES = 24,
};

extern const char *const workload_kind_names[WORKLOAD_KINDS + 1];

struct workload_field {
  struct slice name, value; /* the name in lower case */
};

/* One line of the mix. */
struct workload_row {
  enum workload_kind kind;
  double share, abort_share;
  int protocol; /* 1, 2; 0: any */
  struct distribution prompt, output;
  struct slice method, path;
  struct slice before, between, after; /* around the number of tokens and the filling */
  bool says_tokens; /* the number of tokens stands between `before` and `between` */
  struct workload_field fields[WORKLOAD_FIELDS_MAX]; /* without authorization and length */
  int field_count;
  struct slice head; /* the same as HTTP/1 text */
};

struct workload {
  struct workload_row rows[WORKLOAD_ROWS_MAX];
  int row_count;
  bool mixed_protocols;
  struct slice scheme, authority;
  struct slice *authorizations; /* "Bearer T" */
  size_t authorization_count, authorization_next;
  struct slice fill;   /* repeated as often as a body needs */
  size_t fill_bytes;   /* of post and upload */
  struct slice *texts; /* what the slices above are made of */
  size_t text_count, text_capacity;
};

/* On error *why says what is wrong and what would be right. workload_close in any case. */
enum err workload_open(struct workload *w, const struct options *o, const struct url *u,
                       struct buf *why) MUST_CHECK;
void workload_close(struct workload *w);
/* The share of requests that go over this protocol, 1 or 2. */
double workload_share(const struct workload *w, int protocol);
/* A row by its share, of those that go over the protocol (0: any). NULL: there is none. */
const struct workload_row *workload_draw(const struct workload *w, int protocol, struct draw *d);
/* The next bearer token in turn, SLICE_NONE when there is none. */
struct slice workload_authorization(struct workload *w);

/* One request's body: pieces of the row, the number of tokens, the filling. */
struct workload_body {
  const struct workload *workload;
  const struct workload_row *row;
  size_t fill, length, done;
  char tokens[WORKLOAD_NUMBER_BYTES], length_text[WORKLOAD_NUMBER_BYTES];
};

void workload_body_begin(struct workload_body *b, const struct workload *w,
                         const struct workload_row *row, size_t fill, size_t tokens);
/* Writes the next bytes; less than `room` only at the end. */
size_t workload_body_copy(struct workload_body *b, char *to, size_t room);
bool workload_has_body(const struct workload_row *row);
bool workload_has_tokens(const struct workload_row *row);

/* Reads a mix file into w->rows (kind, share, lengths, abort, protocol). */
enum err mix_read(struct workload *w, const struct options *o, struct buf *why) MUST_CHECK;

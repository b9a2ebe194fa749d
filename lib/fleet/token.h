/* Access tokens. Only the SHA-256 of a token is ever stored.
 *
 * A set is shared by reference and not changed any more once it is; a change makes a new
 * set. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct meter;

enum {
  TOKEN_HASH_BYTES = 32,
  TOKEN_HEX_BYTES = 2 * TOKEN_HASH_BYTES + 1,
  TOKENS_MAX = 1000000,
  TOKEN_TEXT_BYTES_MAX = 4096,
  TOKEN_MEMO_BYTES = 63 /* ours have 46; longer ones are hashed each time */
};

struct token {
  unsigned char hash[TOKEN_HASH_BYTES];
  char *name;                        /* for logs and `token revoke` */
  char *owner;                       /* may be NULL */
  char **organisations, **endpoints; /* NULL-terminated; endpoints empty: any */
  int64_t created_s, expires_s;      /* wall clock; expires 0: never */
  int64_t concurrency_max;           /* requests at once, in the whole fleet; 0: no limit */
  double requests_per_s;             /* 0: no limit */
  struct meter *meter;               /* a reference; NULL without limits, see token_set_meter */
};

/* Accepts NULL; returns NULL. */
struct token *token_free(struct token *t);

struct token_set; /* has an atomic reference count */

struct token_set *token_set_new(void) MUST_CHECK;
/* While it is being made. Keeps a copy and frees the token, also when it fails; NULL is
 * ERR_MEMORY. ERR_EXISTS when its hash is there. */
enum err token_set_put(struct token_set *s, struct token *t) MUST_CHECK;
/* Gives tokens with limits their meters: those of the set before (may be NULL) where they
 * fit. */
enum err token_set_meter(struct token_set *s, const struct token_set *before) MUST_CHECK;
struct token_set *token_set_ref(struct token_set *s);
/* Accepts NULL; returns NULL. */
struct token_set *token_set_unref(struct token_set *s);
size_t token_set_count(const struct token_set *s);
const struct token *token_set_at(const struct token_set *s, size_t i);

/* Hashes a token as it came in "Authorization: Bearer". Thread-safe. */
void token_hash(struct slice text, unsigned char hash[TOKEN_HASH_BYTES]);
/* The token hashed last on a connection: one that comes again costs no hashing. It is compared in
 * a time that depends on its length alone. Zeroed is empty; to be forgotten before its memory
 * goes. */
struct token_memo {
  unsigned char hash[TOKEN_HASH_BYTES];
  unsigned char len;
  char text[TOKEN_MEMO_BYTES];
};
void token_hash_memo(struct token_memo *m, struct slice text, unsigned char hash[TOKEN_HASH_BYTES]);
void token_memo_forget(struct token_memo *m);
/* NULL when unknown or expired at now_s (wall clock). Looked up by the whole SHA-256 of what was
 * sent; no text of a token is there to compare with. What the time of a lookup could tell is of
 * hashes, from which nobody finds a text that has them. */
const struct token *token_set_find(const struct token_set *s,
                                   const unsigned char hash[TOKEN_HASH_BYTES], int64_t now_s);
/* NULL when no token has the name. */
const struct token *token_set_named(const struct token_set *s, const char *name);
/* New sets with one more or one fewer; `token` is copied. ERR_EXISTS when the
 * name or the hash is taken, ERR_ABSENT when no token has the name. */
enum err token_set_add(const struct token_set *s, const struct token *token,
                       struct token_set **out) MUST_CHECK;
enum err token_set_remove(const struct token_set *s, const char *name,
                          struct token_set **out) MUST_CHECK;
/* A new random token "hr_" + 43 URL-safe characters (256 bits), NUL-terminated. */
enum err token_make(char text[64]) MUST_CHECK;

/* Access tokens. Only the SHA-256 of a token is ever stored.
 *
 * A set is immutable and shared by reference; a change makes a new set. The file
 * form is JSON: {"version": N, "tokens": [{"sha256": "<64 hex>", "name", "owner",
 * "organisations": [], "endpoints": [], "created", "expires"}]}. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct buf;

enum { TOKEN_HASH_BYTES = 32, TOKENS_MAX = 1000000, TOKEN_TEXT_BYTES_MAX = 4096 };

struct token {
  unsigned char hash[TOKEN_HASH_BYTES];
  char *name;                        /* for logs and `token revoke` */
  char *owner;                       /* may be NULL */
  char **organisations, **endpoints; /* NULL-terminated; endpoints empty: any */
  int64_t created_s, expires_s;      /* wall clock; expires 0: never */
};

struct token_set; /* has an atomic reference count */

/* An empty set when the file does not exist. On error *why says what and where. */
enum err token_set_load(const char *path, struct token_set **set, struct buf *why) MUST_CHECK;
/* Writes a temporary file beside `path` (mode 0600) and renames it over. */
enum err token_set_save(const struct token_set *set, const char *path) MUST_CHECK;
struct token_set *token_set_ref(struct token_set *s);
struct token_set *token_set_unref(struct token_set *s);
size_t token_set_count(const struct token_set *s);
const struct token *token_set_at(const struct token_set *s, size_t i);

/* Hashes a token as it came in "Authorization: Bearer". Thread-safe. */
void token_hash(struct slice text, unsigned char hash[TOKEN_HASH_BYTES]);
/* NULL when unknown or expired at now_s (wall clock). Constant time in the
 * hash's bytes that matter: an index probe by the seeded hash, then a full
 * compare. */
const struct token *token_set_find(const struct token_set *s,
                                   const unsigned char hash[TOKEN_HASH_BYTES], int64_t now_s);
/* New sets with one more or one fewer; `token` is copied. ERR_EXISTS when the
 * name or the hash is taken, ERR_ABSENT when no token has the name. */
enum err token_set_add(const struct token_set *s, const struct token *token,
                       struct token_set **out) MUST_CHECK;
enum err token_set_remove(const struct token_set *s, const char *name,
                          struct token_set **out) MUST_CHECK;
/* A new random token "hr_" + 43 URL-safe characters (256 bits), NUL-terminated. */
enum err token_make(char text[64]) MUST_CHECK;

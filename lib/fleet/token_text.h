/* Tokens written down, as JSON: one by one in Redis, or all of them in a file:
 * {"version": 1, "tokens": [{"sha256": "<64 hex>", "name", "owner", "organisations": [],
 * "endpoints": [], "created", "expires", "concurrency_max", "requests_per_s"}]}. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/fleet/token.h"

struct buf;

void token_hex(const unsigned char hash[TOKEN_HASH_BYTES], char hex[TOKEN_HEX_BYTES]);
/* False: not 64 digits of 0-9 and a-f. */
bool token_unhex(const char *hex, unsigned char hash[TOKEN_HASH_BYTES]);
/* `out` is failed when it cannot be said: texts are UTF-8, numbers finite. */
void token_write(const struct token *t, struct buf *out);
/* ERR_SYNTAX when a member is not of its type; those that are not there are empty. */
enum err token_read(struct slice text, struct token **out) MUST_CHECK;

/* An empty set when the file does not exist. On error *why says what and where. */
enum err token_set_load(const char *path, struct token_set **set, struct buf *why) MUST_CHECK;
/* Writes a temporary file beside `path` (mode 0600) and renames it over. ERR_SYNTAX: see
 * token_write. */
enum err token_set_save(const struct token_set *set, const char *path) MUST_CHECK;

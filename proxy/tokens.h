/* The token file, watched: its content is looked at again whenever it has changed. */
#pragma once

#include "lib/base/err.h"

struct loop;
struct token_set;
struct tokens;

enum { TOKENS_LOOK_MS = 250 };

/* `changed` gets a new set (borrowed); it is called once before this returns. `problem` is told
 * once of a file that cannot be read; what was known before stays in force. */
struct tokens *tokens_new(struct loop *loop, const char *path,
                          void (*changed)(void *user, struct token_set *set),
                          void (*problem)(void *user, const char *text), void *user) MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct tokens *tokens_free(struct tokens *t);

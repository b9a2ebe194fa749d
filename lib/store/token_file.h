/* The token file of a process without Redis: watched, and changed under a lock. */
#pragma once

#include "lib/base/err.h"

struct loop;
struct token;
struct token_file;
struct token_set;

enum { TOKEN_FILE_LOOK_MS = 250 };

/* `changed` gets a new set (borrowed); `problem` is told once of a file that cannot be
 * read, and what was known before stays in force. Both come from the loop. `path` is
 * borrowed. */
struct token_file *token_file_new(struct loop *loop, const char *path,
                                  void (*changed)(void *user, struct token_set *set),
                                  void (*problem)(void *user, const char *text),
                                  void *user) MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct token_file *token_file_free(struct token_file *t);
/* Looks at the file at the end of this turn. */
void token_file_look(struct token_file *t);
/* Changes the file: adds a token, or removes the one of that name. */
enum err token_file_add(struct token_file *t, const struct token *token) MUST_CHECK;
enum err token_file_remove(struct token_file *t, const char *name) MUST_CHECK;

#ifndef ENGINE_ANSWER_H
#define ENGINE_ANSWER_H

#include "conn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes answers into a connection's output. A small answer leaves in one write. */

enum { ANSWER_CHUNKED = -1, ANSWER_UNTIL_CLOSE = -2 };

#define ANSWER_JSON "application/json"
#define ANSWER_TEXT "text/plain; charset=utf-8"

/* Adds a head for `length` bytes. `extra` holds whole header lines, or is NULL. */
void answer_head(struct conn *c, int status, const char *type, int64_t length, const char *extra);
/* A head, then `next` to write the body: not for HEAD, and later when the request asks for it. */
void answer_begin(struct conn *c, int status, const char *type, int64_t length, const char *extra,
                  void (*next)(struct conn *c));
/* Answers with c->body as it stands. */
void answer_send(struct conn *c, int status, const char *type);
/* Adds a piece of the body, framed as its head said. */
void answer_piece(struct conn *c, const char *data, size_t len);
/* Ends the body; `trailer` holds whole header lines, or is NULL. */
void answer_finish(struct conn *c, const char *trailer);
/* An error in the shape that OpenAI's clients read. */
void answer_error(struct conn *c, int status, const char *message);

#endif

/* A body on its way: from a source (the side that reads it) to a sink (the side
 * that writes it). HTTP/1 and HTTP/2, client and replica side, all use this one.
 *
 * Bytes are offered to the sink as they arrive; what it does not take waits in
 * chunks. Credit is explicit: the source is told how many bytes have left, and
 * gives that much back to its peer. A source stops while pipe_full. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/chunk.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

struct http_field;
struct pipe;

struct pipe_source_ops {
  /* n bytes have left the pipe: more may come. */
  void (*credit)(struct pipe *p, size_t n);
};

struct pipe_sink_ops {
  /* Takes what it can now and returns how much; it calls pipe_pump (or takes from
   * the queue by pipe_take) when it can take more. */
  size_t (*write)(struct pipe *p, struct slice bytes);
  /* Everything has been taken; p->trailers go with it. Called once. */
  void (*end)(struct pipe *p);
};

struct pipe {
  const struct pipe_source_ops *source;
  void *source_self;
  const struct pipe_sink_ops *sink; /* NULL while there is none yet: bytes wait */
  void *sink_self;
  struct chunks *chunks;
  struct chunkq queue;
  struct chunkq kept;          /* what was taken already, for a replay; see keep_bytes */
  size_t limit_bytes;          /* the queue is full from here */
  size_t keep_bytes;           /* how much may be kept; 0: nothing is kept (any more) */
  size_t lent;                 /* of the queue: credit was given before it left */
  uint64_t total;              /* bytes that came in */
  struct http_field *trailers; /* the owner's memory */
  int trailer_count;
  bool ended;  /* the source has said all */
  bool closed; /* the sink was told, or the pipe was cut */
};

void pipe_init(struct pipe *p, struct chunks *chunks, size_t limit_bytes, size_t keep_bytes);
/* Drops everything; the pipe takes no more. */
void pipe_close(struct pipe *p);
/* From the source. ERR_MEMORY when the chunk store is exhausted. A closed pipe
 * swallows bytes and gives credit for them. */
enum err pipe_write(struct pipe *p, struct slice bytes) MUST_CHECK;
void pipe_end(struct pipe *p);
bool pipe_full(const struct pipe *p);
/* Sets or takes away the sink; a new one is offered what waits. */
void pipe_connect(struct pipe *p, const struct pipe_sink_ops *sink, void *self);
void pipe_disconnect(struct pipe *p);
/* From the sink: offers what waits, and the end. */
void pipe_pump(struct pipe *p);
/* From a sink that pulls: up to n bytes into `to`; credit is given for them. */
size_t pipe_take(struct pipe *p, char *to, size_t n);
/* Gives credit for what waits, though it has not left: for one who looks at the body before
 * there is a sink. It is not given again when it leaves. */
void pipe_lend(struct pipe *p);
/* All bytes are taken and the source has said all. */
bool pipe_drained(const struct pipe *p);
/* Nothing will be replayed any more: lets go of what was kept. */
void pipe_forget(struct pipe *p);
/* Whether everything so far can be sent once more. */
bool pipe_can_rewind(const struct pipe *p);
/* Puts what was kept back in front, for a new sink. Disconnects the old one. */
enum err pipe_rewind(struct pipe *p) MUST_CHECK;

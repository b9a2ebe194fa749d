#include "proxy/request/pipe.h"

void pipe_init(struct pipe *p, struct chunks *chunks, size_t limit_bytes, size_t keep_bytes) {
  *p = (struct pipe){.chunks = chunks, .limit_bytes = limit_bytes, .keep_bytes = keep_bytes};
}

void pipe_forget(struct pipe *p) {
  chunkq_clear(&p->kept, p->chunks);
  p->keep_bytes = 0;
}

void pipe_close(struct pipe *p) {
  p->closed = true;
  p->sink = NULL;
  chunkq_clear(&p->queue, p->chunks);
  pipe_forget(p);
}

static void give_credit(struct pipe *p, size_t n) {
  size_t given = n < p->lent ? n : p->lent;
  p->lent -= given;
  if (n && p->source)
    p->source->credit(p, n - given);
}

void pipe_lend(struct pipe *p) {
  size_t n = p->queue.len - p->lent;
  p->lent = p->queue.len;
  if (n && p->source)
    p->source->credit(p, n);
}

/* A copy for the replay, until there is too much of it. */
static void keep(struct pipe *p, struct slice bytes) {
  if (p->keep_bytes == 0 || bytes.len == 0)
    return;
  if (p->kept.len + bytes.len > p->keep_bytes || chunkq_append(&p->kept, p->chunks, bytes))
    pipe_forget(p);
}

static size_t offer(struct pipe *p, struct slice bytes) {
  size_t n = p->sink->write(p, bytes);
  keep(p, slice_of(bytes.data, n));
  return n;
}

enum err pipe_write(struct pipe *p, struct slice bytes) {
  p->total += bytes.len;
  if (p->closed) {
    give_credit(p, bytes.len);
    return OK;
  }
  size_t taken = 0;
  if (p->sink && chunkq_empty(&p->queue))
    taken = offer(p, bytes);
  if (p->closed) /* the sink broke, and with it the pipe */
    return OK;
  enum err e = chunkq_append(&p->queue, p->chunks, slice_skip(bytes, taken));
  give_credit(p, taken);
  /* A sink that pulls is told that there is something. */
  return e;
}

static void tell_end(struct pipe *p) {
  if (!p->ended || p->closed || !p->sink || !chunkq_empty(&p->queue))
    return;
  p->closed = true;
  p->sink->end(p);
}

void pipe_end(struct pipe *p) {
  p->ended = true;
  tell_end(p);
}

bool pipe_full(const struct pipe *p) {
  return p->queue.len >= p->limit_bytes;
}

void pipe_connect(struct pipe *p, const struct pipe_sink_ops *sink, void *self) {
  p->sink = sink;
  p->sink_self = self;
  pipe_pump(p);
}

void pipe_disconnect(struct pipe *p) {
  p->sink = NULL;
  p->sink_self = NULL;
}

void pipe_pump(struct pipe *p) {
  size_t left = 0;
  while (p->sink && !p->closed && !chunkq_empty(&p->queue)) {
    struct slice run = chunkq_peek(&p->queue);
    size_t n = offer(p, run);
    if (n == 0 || p->closed)
      break;
    chunkq_drop(&p->queue, p->chunks, n);
    left += n;
  }
  give_credit(p, left);
  tell_end(p);
}

size_t pipe_take(struct pipe *p, char *to, size_t n) {
  n = chunkq_take(&p->queue, p->chunks, to, n);
  keep(p, slice_of(to, n));
  give_credit(p, n);
  return n;
}

bool pipe_drained(const struct pipe *p) {
  return p->ended && chunkq_empty(&p->queue);
}

bool pipe_can_rewind(const struct pipe *p) {
  return p->keep_bytes != 0 || p->total == p->queue.len;
}

enum err pipe_rewind(struct pipe *p) {
  pipe_disconnect(p);
  p->closed = false;
  p->lent += p->kept.len; /* credit for it was given when it left */
  while (!chunkq_empty(&p->queue)) {
    struct slice run = chunkq_peek(&p->queue);
    enum err e = chunkq_append(&p->kept, p->chunks, run);
    if (e)
      return e;
    chunkq_drop(&p->queue, p->chunks, run.len);
  }
  p->queue = p->kept;
  p->kept = (struct chunkq){0};
  return OK;
}

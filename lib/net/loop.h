/* One thread's event loop, and what everything on that thread shares: the turn,
 * posted work, deadlines, scratch memory.
 *
 * A turn is: wait, run the events that are due, read what can be read, run what was
 * posted, flush; once more when the flushes have posted. What is left then is run in the next turn,
 * which does not wait. Wake-ups are posted, never recursive. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/heap.h"
#include "lib/base/list.h"
#include "lib/base/mailbox.h"
#include "lib/net/batch.h"

struct chunks;
struct ciphers;
struct event;
struct event_base;
struct transport;

enum {
  LOOP_READ_BYTES = 64 * 1024,   /* one read(2) takes in at most this much */
  LOOP_WRITE_BYTES = 256 * 1024, /* what one connection may put out in one write(2) */
  LOOP_GATHER_US = 500,          /* the most that what many share waits for more of it */
};

/* Work for the end of this turn. Posting a posted one is harmless. */
struct post {
  struct list node;
  void (*run)(struct post *p);
};

/* A deadline. Lazy owners do not move it forward at each sign of life, but look
 * when it fires. */
struct timer {
  struct heap_node node;
  void (*fire)(struct timer *t);
};

struct loop {
  struct event_base *base;
  usec_t now_us; /* 0 until asked for in this turn */
  struct list posts, flushes, gathers;
  usec_t gathering_since; /* when the first of `gathers` came */
  bool gathering;         /* a burst has begun since then, and is not over */
  int arrivals;           /* connections that had something to read in this turn, but no bulk */
  struct heap timers;
  struct list unsure; /* transports to be looked at once more; see transport.c */
  struct timer unsure_timer;
  struct event *timer_event, *mail_event;
  usec_t timer_event_at;
  struct mailbox mailbox; /* messages to this thread; see loop_send */
  struct chunks *chunks;  /* for chunk queues */
  char *read_scratch;     /* LOOP_READ_BYTES: raw bytes of the read being handled */
  char *plain_scratch;    /* LOOP_READ_BYTES: the same decrypted */
  /* What one connection, `writer`, will write at the end of this turn; when another
   * wants to write, the first one's is written at once. */
  char *write_scratch; /* LOOP_WRITE_BYTES */
  size_t write_len;
  struct transport *writer;
  /* What goes out by the next system call: bytes of `going_count` connections, one after the other
   * at the start of going_scratch, going_bytes of them; behind these is made what will join them.
   */
  char *going_scratch; /* LOOP_WRITE_BYTES */
  size_t going_bytes, going_end;
  struct loop_going {
    struct transport *to;
    size_t len;
  } going[BATCH_OPS];
  int going_count;
  struct list readable;                 /* transports that have something to read */
  struct transport *reading[BATCH_OPS]; /* of these, those whose read is being handled */
  struct batch *batch;
  struct ciphers *ciphers; /* of TLS connections; NULL before the first */
  uint64_t turns;
  bool stopping;
};

/* chunk_bytes_max bounds all chunk queues of the loop together. NULL on failure. */
struct loop *loop_new(size_t chunk_bytes_max);
/* Accepts NULL; returns NULL. */
struct loop *loop_free(struct loop *l);
/* Runs turns until loop_stop. */
void loop_run(struct loop *l);
/* One turn; for tests. wait: whether it may block. */
void loop_turn(struct loop *l, bool wait);
void loop_stop(struct loop *l);
/* CLOCK_MONOTONIC, read once a turn. */
usec_t loop_now(struct loop *l);

void post_init(struct post *p, void (*run)(struct post *p));
void loop_post(struct loop *l, struct post *p);
/* The same for the last phase of a turn: output is put out after everyone had a say. */
void loop_flush_later(struct loop *l, struct post *p);
/* The same for a connection that many share: while a burst comes in it waits for the next turns,
 * LOOP_GATHER_US at most. */
void loop_gather(struct loop *l, struct post *p);
void post_cancel(struct post *p);

void timer_init(struct timer *t, void (*fire)(struct timer *t));
/* At an absolute time of loop_now's clock; moves it when set already. */
enum err timer_set(struct loop *l, struct timer *t, usec_t at) MUST_CHECK;
void timer_cancel(struct loop *l, struct timer *t);

/* From any thread: m->deliver runs on the loop's thread. */
void loop_send(struct loop *l, struct mail *m);

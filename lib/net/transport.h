/* A connected byte stream: plain or TLS. The protocols above see plain bytes.
 *
 * Reading: the transport calls on_bytes with a span that is valid for the call
 * only; whatever the receiver cannot use now it must copy, or it must pause the
 * transport, after which at most one more read's worth may still arrive.
 * Writing: transport_send takes everything. What the socket does not take waits
 * in the transport; transport_pending says how much, and on_drained is called
 * when it fell to zero after transport_full had said yes. Output of one turn is
 * put out by one write(2) at its end.
 *
 * A socket's event is registered once, edge-triggered, with early-close, and
 * never changed. Resuming after a pause is a posted read. A connection reads at
 * most TRANSPORT_TURN_BYTES a turn, then posts itself again. A short read
 * means drained.
 *
 * Owner: whoever holds the struct (it is embedded); see transport_close. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/base/chunk.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/base/stash.h"
#include "lib/net/loop.h"

struct event;
struct proxy_header;
struct records;
struct transport;
struct ssl_st;

enum {
  TRANSPORT_TURN_BYTES = 64 * 1024,
  TRANSPORT_PENDING_HIGH = 64 * 1024, /* senders should stop here; see transport_full */
};

enum transport_end {
  TRANSPORT_EOF,        /* the peer ended its side in order (TLS: close_notify seen) */
  TRANSPORT_CUT,        /* reset, timed out, or a TLS stream that ended without close_notify */
  TRANSPORT_TLS_FAILED, /* handshake or record failure */
  TRANSPORT_HEADER_BAD, /* see transport_expect_header: none, a bad one, or not all of it */
};

struct transport_events {
  /* After transport_expect_header: it has come. Before all else; valid for the call only. */
  void (*on_header)(struct transport *t, const struct proxy_header *h);
  /* TLS only: the handshake is complete; transport_alpn is known, and `ssl` still there. Before any
   * on_bytes. */
  void (*on_ready)(struct transport *t);
  void (*on_bytes)(struct transport *t, struct slice bytes);
  void (*on_drained)(struct transport *t);
  /* The peer is gone or will send no more. Called at most once; the transport is
   * not closed yet: the owner does that. Also called while paused (early close). */
  void (*on_end)(struct transport *t, enum transport_end end);
};

/* plain | tls, after a handshake of TLS 1.3 records, and before them all header: what becomes of
 * bytes between the socket and the protocols. */
struct transport_ops {
  /* Bytes as they were read: hands on what they mean. */
  void (*take)(struct transport *t, struct slice raw);
  /* Bytes to be sent, to be committed as they go out: what was gathered, and a span behind it.
   * Either may be empty. */
  void (*put)(struct transport *t, struct slice gathered, struct slice span);
  /* The read side ended: was that in order? */
  enum transport_end (*ended)(struct transport *t);
  void (*goodbye)(struct transport *t); /* TLS: close_notify */
  void (*release)(struct transport *t); /* frees what is its own */
};

struct transport {
  const struct transport_ops *ops;
  const struct transport_events *events;
  struct loop *loop;
  int fd;
  struct event *event;
  struct ssl_st *ssl;      /* TLS; not for long if it is 1.3 */
  struct records *records; /* TLS 1.3 after its handshake */
  struct slice raw;        /* `ssl` only: what was read and is not yet decrypted */
  struct stash header;     /* what has come of a header that is expected */
  struct chunkq out;       /* bytes (TLS: records) the socket did not take */
  size_t going;            /* bytes in loop->going_scratch; then `out` is empty */
  struct post read_post, flush_post;
  struct list ready_node;  /* in loop->readable */
  struct list unsure_node; /* in loop->unsure since unsure_us */
  usec_t unsure_us;
  uint64_t bytes_in, bytes_out; /* on the wire */
  uint32_t read_most;           /* in one read; 0: as much as fits */
  bool connecting : 1, ready : 1, paused : 1, may_read : 1, may_write : 1;
  bool peer_ended : 1; /* the kernel says that the peer will send no more */
  bool keep_buffered : 1, was_full : 1, write_failed : 1;
  bool more_soon : 1;   /* see transport_more_soon */
  bool bulk : 1;        /* its last read brought more than a share of the scratch */
  bool finishing : 1;   /* closing in order: what comes in is dropped */
  bool write_ended : 1; /* and the peer has been told that nothing more will come */
  bool ended : 1;       /* on_end was called */
  bool closed : 1;
};

/* Takes over a connected (or, with `connecting`, connecting), non-blocking
 * descriptor. `ssl` NULL means plain; else an accepting SSL object that the transport owns from
 * now on. Registers the event. For a connecting one, on_ready says it is
 * connected and on_end(TRANSPORT_CUT) that it failed. */
enum err transport_open(struct transport *t, struct loop *loop, int fd, struct ssl_st *ssl,
                        bool connecting, const struct transport_events *events) MUST_CHECK;
/* Right after transport_open: the peer begins with a PROXY header, before TLS too. How long to wait
 * for it is the owner's to say. Nothing may be sent before it has come. */
void transport_expect_header(struct transport *t);
/* Accepts all bytes; ERR_CLOSED once a write has failed (the chunk pool being
 * exhausted is one reason): then on_end follows from the loop. */
enum err transport_send(struct transport *t, const struct iovec *iov, int count) MUST_CHECK;
/* More will probably be sent in this turn (a body behind its head): what was sent so far waits
 * for it, even when other connections write meanwhile. false: that was all. Clear text only. */
void transport_more_soon(struct transport *t, bool more);
/* Bytes accepted and not yet taken by the kernel. */
size_t transport_pending(const struct transport *t);
/* Senders should wait for on_drained. Marks the wish for on_drained. */
bool transport_full(struct transport *t);
/* A peer that ends its side while this is paused is reported only when what it
 * sent before has been read: for a side whose last words matter. Without it, its
 * going is reported at once. */
void transport_keep_buffered(struct transport *t);
void transport_pause(struct transport *t);
void transport_resume(struct transport *t);
/* The negotiated protocol ("h2", "http/1.1" or empty); within on_ready. */
struct slice transport_alpn(const struct transport *t);
/* Closes in order: after what waits has been written (and close_notify) our side is
 * shut; what still comes in is dropped, and on_end is called when the peer has closed
 * too. How long to wait for that is the owner's to say. */
void transport_finish(struct transport *t);
/* Closes at once (abort: with RST, so that a peer never takes it for a clean end).
 * No callback comes after this. Idempotent. The memory may be freed right away,
 * except from within one of its own callbacks, where it must be freed by a post. */
void transport_close(struct transport *t, bool abort);

/* For loop_turn only: reads what can be read, and puts out what is to go. The latter calls nobody
 * back, but may have posted flushes. */
void transport_read_ready(struct loop *l);
void transport_put_out(struct loop *l);

/* For transport_ops only: room for n bytes that will go out next, at going_end of the loop's
 * scratch; whoever writes there moves it. */
char *transport_make(struct transport *t, size_t n);
/* For transport_ops only: what was written behind going_bytes of the loop's scratch, up to
 * going_end, is this one's and will go out with the others'. */
void transport_commit(struct transport *t);
/* The same with both, which are copied, or if they are large go out at once. */
void transport_put_plain(struct transport *t, struct slice first, struct slice second);
/* Nothing more can be written: the loop will call on_end. */
void transport_put_failed(struct transport *t);
/* The connection cannot go on. Not from within a send. */
void transport_fail(struct transport *t, enum transport_end end);
extern const struct transport_ops transport_plain, transport_tls, transport_records;
/* Binds the SSL object to the transport. */
enum err transport_tls_open(struct transport *t) MUST_CHECK;

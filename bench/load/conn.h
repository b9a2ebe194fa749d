/* A connection of the load client: cheap rather than general. It connects when a request asks for
 * it, carries HTTP/1 or HTTP/2, and is used again and again; its memory lives as long as the run.
 *
 * Registered once, edge-triggered. What there is to do is done in conn_settle at the end of an
 * event or of a turn, and never from within a protocol: so that a request may begin while another
 * ends. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/load/tally.h"
#include "lib/base/list.h"
#include "lib/base/slice.h"
#include "lib/http/http1.h"

struct conn;
struct exchange;
struct load;
struct nghttp2_session;
struct ssl_st;

enum {
  CONN_CARRY_BYTES_MAX = 64 * 1024, /* of a head that comes in pieces */
  CONN_READS_PER_TURN = 4,
};

/* h1 | h2 */
struct protocol {
  bool (*open)(struct conn *c);
  bool (*has_room)(const struct conn *c);
  void (*begin)(struct conn *c, struct exchange *x);
  /* Bytes that came. */
  void (*take)(struct conn *c, struct slice in);
  /* Writes what is to be sent; 0: nothing for now. */
  size_t (*pull)(struct conn *c, char *to, size_t room);
  void (*give_up)(struct conn *c, struct exchange *x);
  /* The connection is over: ends the exchange in its own words. `orderly`: by end of file. */
  void (*lost)(struct conn *c, struct exchange *x, bool orderly);
  void (*close)(struct conn *c);
};

extern const struct protocol h1, h2;

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_HANDSHAKE, CONN_OPEN };

struct conn {
  struct load *load;
  uint32_t index, generation; /* of the descriptor: events of older ones are not ours */
  int fd;
  enum conn_state state;
  uint8_t version; /* what is wanted: 1, 2; 0: as ALPN says */
  bool may_read, may_write, peer_ended;
  bool closing; /* at the next settling */
  bool retired; /* no more requests; closed when those it has are over */
  bool busy;    /* settling is on its way */
  struct list dirty_node;
  struct list waiting; /* exchanges that have not begun */
  struct list active;  /* exchanges that have */
  uint64_t begun;      /* requests on this connection */
  struct ssl_st *ssl;
  struct slice raw; /* read and not yet decrypted */
  char *out;        /* what the socket did not take */
  size_t out_len, out_done;
  const struct protocol *protocol;
  union {
    struct {
      struct http1_body body;
      bool in_body, keep;
      char *carry; /* a head or a trailer line that is not complete */
      size_t carry_len;
    } h1;
    struct {
      struct nghttp2_session *session;
      struct slice left; /* of a frame that did not fit */
      bool going;        /* GOAWAY came */
    } h2;
  };
};

void conn_init(struct conn *c, struct load *l, uint32_t index, int version);
/* The exchange begins as soon as there is a connection with room; connects when need be. */
void conn_join(struct conn *c, struct exchange *x);
/* It has ended, or was given up. */
void conn_left(struct conn *c);
/* From epoll. */
void conn_event(struct conn *c, uint32_t events);
/* Does what there is to do. */
void conn_settle(struct conn *c);
/* Wants to be settled. */
void conn_touch(struct conn *c);
/* For protocols: the connection cannot go on; what is active on it fails when it is settled. */
void conn_fail(struct conn *c);
/* Ends all that is active on it. */
void conn_close(struct conn *c, enum tally_error error, bool orderly);
/* At the end of a run: closes without a word to anybody. */
void conn_drop(struct conn *c);

/* conn_tls.c */
bool conn_tls_open(struct conn *c);
void conn_tls_take(struct conn *c, struct slice raw);
void conn_tls_put(struct conn *c, struct slice bytes);
/* close_notify */
void conn_tls_goodbye(struct conn *c);
void conn_tls_free(struct conn *c);
/* For conn_tls.c: out to the socket; the connection or its handshake is ready. */
void conn_put_raw(struct conn *c, struct slice raw);
void conn_ready(struct conn *c, int version);

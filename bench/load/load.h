/* One run of load: what its parts share. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/load/arrivals.h"
#include "bench/load/draw.h"
#include "bench/load/tally.h"
#include "bench/load/workload.h"
#include "lib/base/clock.h"
#include "lib/base/heap.h"
#include "lib/base/list.h"
#include "lib/net/address.h"

struct buf;
struct conn;
struct exchange;
struct options;
struct tls_client;

enum {
  LOAD_READ_BYTES = 64 * 1024,     /* one read takes in at most this much */
  LOAD_WRITE_BYTES = 64 * 1024,    /* one write puts out at most this much */
  LOAD_QUEUE_MAX = 1024 * 1024,    /* requests of an open loop that wait for a connection */
  LOAD_RETRY_US = 100 * 1000,      /* a closed loop's pause after a connection that failed */
  LOAD_FIRST_GUESS_US = 10 * 1000, /* how long an answer may take, until one has come */
};

/* Requests of an open loop that are due and have no place yet; a ring. */
struct load_queue {
  struct load_arrival {
    usec_t at;
    const struct workload_row *row;
  } * items;
  size_t head, count, capacity;
};

struct load {
  const struct options *options;
  struct workload workload;
  struct address address;
  struct tls_client *tls; /* NULL: clear text */
  struct draw draw;
  int epoll, signals;
  usec_t now; /* read for each event */
  usec_t begin, end, warm_at, reported;
  usec_t ended;         /* when the run was over */
  struct heap timers;   /* of exchanges */
  struct list timeouts; /* of exchanges, the first to be due first */
  struct list dirty;    /* connections with something to do */
  struct conn *conns;
  struct exchange *exchanges;
  size_t conn_count, exchange_count;
  /* the open loop, by protocol: 0 any, 1, 2 */
  struct arrivals arrivals;
  struct list free_slots[3];
  struct load_queue queues[3];
  bool warm;                     /* what happens counts */
  bool opened;                   /* --hold: "open" was said */
  bool stopping;                 /* by a signal */
  size_t hold_left, hold_failed; /* --hold: slots of which nothing has been heard */
  struct tally *tallies;         /* by kind */
  double head_us[WORKLOAD_KINDS], gap_us[WORKLOAD_KINDS]; /* running means, to give up by */
  uint64_t bytes_in, bytes_out, handshakes, resumed;
  bool said[TALLY_ERRORS];           /* why something failed, on standard error, once */
  bool spoke[3];                     /* protocols: 1, 2 */
  char *raw, *plain, *out, *records; /* scratch */
  size_t record_len;
};

/* On error *why says what is wrong. load_close in any case. */
enum err load_open(struct load *l, const struct options *o, struct buf *why) MUST_CHECK;
void load_run(struct load *l);
void load_close(struct load *l);
/* Says on standard error why something failed; each sort of failure once. */
void load_say(struct load *l, enum tally_error sort, const char *what);
/* From the end of the warm-up to the end, or to now. */
double load_seconds(const struct load *l);
/* Of all kinds; the caller frees it. */
struct tally *load_total(const struct load *l);

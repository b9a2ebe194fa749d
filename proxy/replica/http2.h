/* The inside of HTTP/2 to a replica: one connection, many requests. Shared by
 * http2.c (the connection) and http2_stream.c (a stream and its request).
 *
 * A connection with room for another stream is in replica->open, those in use
 * first; a full one, and one that takes no more, is in no list of its replica. */
#pragma once

#include "lib/http/head.h"
#include "proxy/replica/link.h"
#include "proxy/request/failure.h"

struct nghttp2_session;
struct request;

struct replica_http2 {
  struct replica_link link;
  struct nghttp2_session *session;
  struct list streams;
  uint32_t stream_count, stream_limit; /* what the replica allows at once */
  uint64_t rest_mark;                  /* bytes_in when it left its last rest */
  struct post flush_post;
  bool ready;    /* its SETTINGS have come: requests may be sent */
  bool listed;   /* in replica->open */
  bool doubtful; /* it left a request without a sign of life: no more for it */
};

/* One request and its answer. Freed when nghttp2 closes the stream, or with the
 * connection; the request may be over before. */
struct replica_stream {
  struct replica_http2 *connection;
  struct list node;         /* in connection->streams */
  struct request *request;  /* NULL once it is over */
  int32_t id;               /* 0 until it is submitted */
  struct deadline deadline; /* waiting for the head */
  uint64_t heard_mark;      /* the connection's bytes_in when the request went out */
  struct http_head head;    /* while it arrives; its memory is the request's arena */
  size_t head_bytes;        /* of all heads, interim ones too */
  bool too_large, malformed;
  bool sent;      /* the request's head has gone out */
  bool head_seen; /* the final head has come */
  bool ended;     /* the whole answer has come */
};

enum { REPLICA_HTTP2_HEAD_BYTES_MAX = 64 * 1024, REPLICA_HTTP2_FIELDS_MAX = 1000 };

/* http2.c: a stream of an open connection, or of one that is connecting. */
enum err replica_http2_lease(struct request *r) MUST_CHECK;
/* Output is pulled at the end of this turn. */
void replica_http2_touch(struct replica_http2 *c);
/* The number of its streams, or what it allows, has changed: moves it in or out
 * of replica->open. */
void replica_http2_place(struct replica_http2 *c);

/* http2_stream.c */
extern const struct replica_ops replica_http2;
/* NULL when memory ran out. */
struct replica_stream *replica_stream_new(struct replica_http2 *c, struct request *r);
/* The request has let go, or does so now. */
void replica_stream_free(struct replica_stream *st);
/* A field of a head or trailer, pseudo-fields too. */
void replica_stream_field(struct replica_stream *st, struct slice name, struct slice value);
/* A head is complete, or a trailer section. */
void replica_stream_head(struct replica_stream *st, bool ended);
void replica_stream_data(struct replica_stream *st, struct slice bytes);
/* The answer is complete. */
void replica_stream_ended(struct replica_stream *st);
/* nghttp2 has closed it, in order or not; frees it. */
void replica_stream_closed(struct replica_stream *st, uint32_t code);
/* The connection is no more; frees it. `refused`: nothing was acted upon. */
void replica_stream_lost(struct replica_stream *st, enum failure_kind why, bool refused);
/* The connection is ready. Without room for it, the request leases again. */
void replica_stream_ready(struct replica_stream *st, bool room);

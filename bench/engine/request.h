#ifndef ENGINE_REQUEST_H
#define ENGINE_REQUEST_H

#include "fault.h"
#include "http.h"
#include "json.h"
#include "multipart.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct route;

enum {
  REQUEST_KEPT_MAX_BYTES = 1024 * 1024, /* of an /echo whose answer a fault holds back */
  REQUEST_TEXT_MAX_BYTES = 256,
};

/* Who reads the body as it arrives. Nobody but KEEP stores it. */
enum request_body { BODY_COUNT, BODY_JSON, BODY_MULTIPART, BODY_ECHO, BODY_KEEP };

enum generation_shape { SHAPE_CHAT, SHAPE_COMPLETION, SHAPE_TOOLKIT };

struct generation {
  enum generation_shape shape;
  long tokens, sent;
  uint64_t next_us, number;
  uint64_t first_us, last_us; /* when tokens were sent; known only where they are stamped */
  long created_s;
};

struct request {
  bool open, http10, keep_alive, head_only;
  bool chunked, complete; /* of the answer: how it is framed; all of it is in the output */
  bool counted, has_slot, is_waiting;
  bool bad_fault, expects_continue;
  const struct route *route; /* NULL: no such route */
  bool wrong_method;
  struct http_body framing;
  enum request_body body;
  uint64_t body_bytes;
  struct faults faults;
  struct json_scan json;
  struct multipart multipart;
  int status;
  struct generation generation;
  uint64_t fill_left;              /* bytes of a made-up body still to write */
  void (*resume)(struct conn *c);  /* when the connection's timer fires */
  void (*drained)(struct conn *c); /* when the client has taken all there was */
  struct conn *wait_prev, *wait_next;
  char method[16], path[REQUEST_TEXT_MAX_BYTES], id[REQUEST_TEXT_MAX_BYTES],
      type[REQUEST_TEXT_MAX_BYTES];
};

/* Each takes what it can off the connection's input; true when it got further. */
bool request_read_head(struct conn *c);
bool request_read_body(struct conn *c);
/* The answer is written; the connection is free for the next request. */
void request_end(struct conn *c);
/* The connection is going before the answer was complete; `event` names it in the log. */
void request_drop(struct conn *c, const char *event);
/* Answers the request again from the top, once what held it up is over. */
void request_answer(struct conn *c);
/* Calls `next` after a while, unless the connection goes first. */
void request_later(struct conn *c, uint64_t delay_us, void (*next)(struct conn *c));

#endif

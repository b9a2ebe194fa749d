/* Any bytes from a client that speaks HTTP/2, to the whole client side: a worker with its loop, a
 * connection over a socket pair, and instead of the path to a replica one step that answers. What
 * comes must leave nothing behind: no request, no connection, and a chunk store that is empty.
 *
 * The first byte: 1, the preface and SETTINGS come first; 2, all of it is cut into pieces of as
 * many bytes as the second byte says (else 64); 4, the answers are not read before the end; 8, the
 * client ends its side at last. The rest are its bytes. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/chunk.h"
#include "lib/net/loop.h"
#include "lib/option/option.h"
#include "proxy/client/client.h"
#include "proxy/file.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"
#include "proxy/steps/steps.h"
#include "proxy/worker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PREFIXED = 1, IN_PIECES = 2, DEAF = 4, ENDS = 8, TURNS_MAX = 64, LARGE_BYTES = 200 * 1000 };

static struct worker_thread *thread;
static struct worker *worker;
static struct process process;
static struct worker_cell cell;
static struct client_door door = {.refs = 1, .http2 = true, .port = "80"}; /* never freed */
static char large[LARGE_BYTES];

/* What the path says about the answer: "/echo" the body, "/large" 200 kB, "/wait" none. */
static size_t echo_write(struct pipe *p, struct slice bytes) {
  struct request *r = p->sink_self;
  if (pipe_full(&r->response_pipe))
    return 0;
  return pipe_write(&r->response_pipe, bytes) == OK ? bytes.len : 0;
}

static void echo_end(struct pipe *p) {
  struct request *r = p->sink_self;
  r->response_pipe.trailers = p->trailers;
  r->response_pipe.trailer_count = p->trailer_count;
  pipe_end(&r->response_pipe);
}

static const struct pipe_sink_ops echo_sink = {.write = echo_write, .end = echo_end};

static void echo_credit(struct pipe *p, size_t n) {
  struct request *r = p->source_self;
  if (r->request_pipe.sink)
    pipe_pump(&r->request_pipe);
}

static const struct pipe_source_ops echo_source = {.credit = echo_credit};

static enum step_result step_answer(struct request *r) {
  struct http_field fields[8];
  struct http_head h;
  if (r->relaying || slice_starts(r->head.target, SLICE("/wait")))
    return STEP_WAIT;
  if (slice_starts(r->head.target, SLICE("/fail")))
    return request_fail(r, FAIL_NO_MEMORY);
  http_head_init(&h, fields, 8);
  h.status = 200;
  h.framing = HTTP_CHUNKED;
  r->relaying = true;
  r->response_pipe.source = &echo_source;
  r->response_pipe.source_self = r;
  request_invite(r);
  if (!request_response_head(r, &h) || r->finished)
    return STEP_WAIT;
  if (slice_starts(r->head.target, SLICE("/large"))) {
    if (pipe_write(&r->response_pipe, slice_of(large, LARGE_BYTES)) == OK)
      pipe_end(&r->response_pipe);
  } else {
    pipe_connect(&r->request_pipe, &echo_sink, r);
  }
  return STEP_WAIT;
}

static const struct request_step path[] = {
    {"answer", step_answer}, {"finish", step_finish}, {NULL, NULL}};
static const struct response_step way_back[] = {{"end", step_end}, {NULL, NULL}};

static void open_worker(void) {
  struct buf why = BUF_INIT(4096);
  struct file *f = calloc(1, sizeof *f);
  assert(f && option_load_text(&file_table, "fuzz",
                               SLICE("{\"listeners\": [{\"address\": \"127.0.0.1:1\"}]}"), f,
                               &why) == OK);
  process.config = &f->config;
  process.worker_count = 1;
  assert(worker_new(&process, 0, &cell, -1, &thread) == OK);
  worker = worker_of(thread);
  worker->steps = path;
  worker->finish = &path[1];
  worker->response_steps = way_back;
}

static void drain(int fd) {
  static char scratch[64 * 1024];
  while (recv(fd, scratch, sizeof scratch, MSG_DONTWAIT) > 0)
    ;
}

static bool push(int fd, struct slice bytes) {
  return bytes.len == 0 || send(fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

static void turns(int fd, bool deaf) {
  for (int i = 0; i < 3; i++) {
    loop_turn(worker->loop, false);
    if (!deaf)
      drain(fd);
  }
}

static void settle(void) {
  for (int i = 0; i < TURNS_MAX && cell_get(&cell.connections); i++)
    loop_turn(worker->loop, false);
  loop_turn(worker->loop, false); /* what was closed is freed */
  assert(cell_get(&cell.connections) == 0 && list_empty(&worker->open_clients));
  assert(chunks_live(worker->loop->chunks) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
  if (!worker)
    open_worker();
  if (size < 2 || size > 16 * 1024)
    return 0;
  int pair[2];
  unsigned char how = data[0];
  size_t piece = how & IN_PIECES ? data[1] + 1u : 64 * 1024;
  struct slice rest = slice_of((const char *)data + 2, size - 2);
  assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
  struct sockaddr_storage peer = {.ss_family = AF_UNIX};
  client_accept(worker, &door, pair[0], &peer);
  bool good = true;
  if (how & PREFIXED)
    good = push(pair[1], slice_of(preface, 24 + 9));
  for (int i = 0; good && rest.len && i < 256; i++) {
    size_t n = rest.len < piece ? rest.len : piece;
    good = push(pair[1], slice_of(rest.data, n));
    rest = slice_skip(rest, n);
    turns(pair[1], how & DEAF);
  }
  if (how & ENDS) {
    shutdown(pair[1], SHUT_WR);
    turns(pair[1], false);
  }
  close(pair[1]);
  settle();
  return 0;
}

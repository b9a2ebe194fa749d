#include "routes.h"
#include "answer.h"
#include "generate.h"
#include "log.h"
#include "media.h"

#include <stdlib.h>
#include <string.h>

enum { FILL_LETTERS = 26, FILL_BYTES = FILL_LETTERS * 2520, FILL_PIECES_PER_TURN = 16 };

/* Only for --load-ms to be seen: everything else is refused before it gets here. */
static void route_health(struct conn *c) {
  static bool said;
  if (engine.loaded && !said) {
    said = true;
    log_event(c, "healthy"); /* the first time: what a wake is measured from */
  }
  buf_text(&c->body, engine.loaded ? "{\"status\":\"ok\"}" : "{\"status\":\"loading\"}");
  answer_send(c, engine.loaded ? 200 : 503, ANSWER_JSON);
}

static void route_metric(struct buf *b, const char *name, const char *type, uint64_t value) {
  buf_printf(b, "# TYPE engine_%s %s\nengine_%s %lu\n", name, type, name, (unsigned long)value);
}

static void route_metrics(struct conn *c) {
  route_metric(&c->body, "requests_running", "gauge", engine.active - engine.waiting);
  route_metric(&c->body, "requests_waiting", "gauge", engine.waiting);
  route_metric(&c->body, "concurrency_peak", "gauge", engine.peak);
  route_metric(&c->body, "requests_total", "counter", engine.requests_total);
  route_metric(&c->body, "aborts_total", "counter", engine.aborts_total);
  route_metric(&c->body, "tokens_total", "counter", engine.tokens_total);
  route_metric(&c->body, "events_total", "counter", engine.events_total);
  answer_send(c, 200, "text/plain; version=0.0.4; charset=utf-8");
}

static void route_models(struct conn *c) {
  buf_text(&c->body, "{\"object\":\"list\",\"data\":[{\"id\":");
  buf_json(&c->body, engine.options.model, strlen(engine.options.model));
  buf_text(&c->body, ",\"object\":\"model\",\"created\":0,\"owned_by\":\"engine\"}]}");
  answer_send(c, 200, ANSWER_JSON);
}

/* The body was made when the head was read, and is closed here with what came after it. */
static void route_headers(struct conn *c) {
  buf_printf(&c->body, ",\"body_bytes\":%lu}", (unsigned long)c->req.body_bytes);
  answer_send(c, 200, ANSWER_JSON);
}

/* Without a fault, a body has been sent back long before this. */
static void route_echo(struct conn *c) {
  answer_send(c, 200, c->req.type[0] ? c->req.type : NULL);
}

/* The part of the path after the route's own, as a number. */
static bool route_number(const struct conn *c, uint64_t *n) {
  const char *rest = c->req.path + strlen(c->req.route->path);
  return http_number((struct http_text){rest, strlen(rest)}, n);
}

static const char *fill_letters(void) {
  static char letters[FILL_BYTES];
  for (size_t i = 0; !letters[FILL_BYTES - 1] && i < FILL_BYTES; i++)
    letters[i] = (char)('a' + i % FILL_LETTERS);
  return letters;
}

static void fill_end(struct conn *c) {
  if (!fault_will_cut(&c->req.faults)) {
    answer_finish(c, "x-trailer: done\r\n");
    return;
  }
  conn_flush(c);
  fault_cut(c);
}

/* Makes a body as the client takes it, so that a large one costs no memory. */
static void fill_more(struct conn *c) {
  c->req.drained = NULL;
  for (int i = 0; i < FILL_PIECES_PER_TURN; i++) {
    size_t n = c->req.fill_left < FILL_BYTES ? (size_t)c->req.fill_left : FILL_BYTES;
    answer_piece(c, fill_letters(), n);
    c->req.fill_left -= n;
    if (!c->req.fill_left) {
      fill_end(c);
      return;
    }
    conn_flush(c);
    if (buf_len(&c->out) || c->state == CONN_CLOSED) {
      c->req.drained = fill_more;
      return;
    }
  }
  request_later(c, 0, fill_more);
}

static void fill_begin(struct conn *c, bool chunked) {
  uint64_t n;
  if (!route_number(c, &n)) {
    answer_error(c, 400, "The path needs a number of bytes.");
    return;
  }
  c->req.fill_left = fault_will_cut(&c->req.faults) ? n / 2 : n;
  answer_begin(c, 200, "application/octet-stream", chunked ? ANSWER_CHUNKED : (int64_t)n,
               chunked ? "trailer: x-trailer\r\n" : NULL, fill_more);
}

static void route_bytes(struct conn *c) {
  fill_begin(c, false);
}

static void route_chunked(struct conn *c) {
  fill_begin(c, true);
}

static void early_hints_end(struct conn *c) {
  buf_text(&c->body, "hinted\n");
  answer_send(c, 200, ANSWER_TEXT);
}

/* A pause keeps the two heads in two segments, as they are from a server that has to think. */
static void route_early_hints(struct conn *c) {
  if (!c->req.http10)
    buf_text(&c->out,
             "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\n\r\n");
  conn_flush(c);
  request_later(c, 10 * 1000, early_hints_end);
}

static void no_length_body(struct conn *c) {
  answer_piece(c, "ended by close\n", 15);
  answer_finish(c, NULL);
}

static void route_no_length(struct conn *c) {
  answer_begin(c, 200, ANSWER_TEXT, ANSWER_UNTIL_CLOSE, NULL, no_length_body);
}

static void route_status(struct conn *c) {
  uint64_t status;
  if (!route_number(c, &status) || status < 200 || status > 599) {
    answer_error(c, 400, "The path needs a status from 200 to 599.");
    return;
  }
  buf_printf(&c->body, "{\"status\":%d}", (int)status);
  answer_send(c, (int)status, ANSWER_JSON);
}

static const struct route routes[] = {
    {"POST", "/v1/chat/completions", ROUTE_MODEL, generate_chat},
    {"POST", "/v1/completions", ROUTE_MODEL, generate_completion},
    {"POST", "/v1/embeddings", ROUTE_MODEL, media_embeddings},
    {"POST", "/embed", ROUTE_MODEL, media_embed},
    {"POST", "/v1/audio/transcriptions", ROUTE_MODEL, media_transcription},
    {"POST", "/api/v1/audio/transcriptions", ROUTE_MODEL, media_transcription},
    {"POST", "/", ROUTE_MODEL, media_toolkit},
    {"GET", "/health", ROUTE_QUIET | ROUTE_ALWAYS, route_health},
    {"GET", "/metrics", ROUTE_QUIET, route_metrics},
    {"GET", "/v1/models", 0, route_models},
    {NULL, "/echo", ROUTE_ECHO, route_echo},
    {NULL, "/headers", ROUTE_HEADERS, route_headers},
    {"GET", "/bytes/", ROUTE_PREFIX, route_bytes},
    {"GET", "/chunked/", ROUTE_PREFIX, route_chunked},
    {"GET", "/early-hints", 0, route_early_hints},
    {"GET", "/no-length", 0, route_no_length},
    {NULL, "/status/", ROUTE_PREFIX, route_status},
};

static bool route_has_path(const struct route *r, const char *path) {
  size_t n = strlen(r->path);
  return !strncmp(r->path, path, n) && (r->flags & ROUTE_PREFIX || !path[n]);
}

const struct route *route_find(const char *method, const char *path, bool *wrong_method) {
  const char *wanted = strcmp(method, "HEAD") ? method : "GET";
  *wrong_method = false;
  for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
    if (!route_has_path(&routes[i], path))
      continue;
    if (!routes[i].method || !strcmp(routes[i].method, wanted))
      return &routes[i];
    *wrong_method = true;
  }
  return NULL;
}

#include "bench/load/options.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/workload.h"
#include "lib/base/buf.h"

enum option_type {
  TYPE_NUMBER,
  TYPE_WHOLE,
  TYPE_TEXT,
  TYPE_LIST,
  TYPE_FLAG,
  TYPE_WORD,
  TYPE_DRAWN
};

static const char *const http_words[] = {"auto", "1", "2", NULL};
static const char *const arrivals_words[] = {"constant", "poisson", NULL};

#define AT(member) offsetof(struct options, member)
static const struct option_row {
  const char *name, *value;
  enum option_type type;
  size_t offset;
  double least, most;       /* of numbers */
  const char *const *words; /* of words, in the order of their enum */
  const char *help;
} rows[] = {
    {NULL, NULL, TYPE_FLAG, 0, 0, 0, NULL, "What is asked"},
    {"kind", "KIND", TYPE_WORD, AT(kind), 0, 0, workload_kind_names,
     "chat, stream, completion, embeddings, upload: below URL; get, post: URL as it is (stream)"},
    {"mix", "FILE", TYPE_TEXT, AT(mix_file), 0, 0, NULL,
     "several kinds by share, as JSON; see docs/bench.md"},
    {"prompt", "DIST", TYPE_DRAWN, AT(prompt), 0, 0, NULL,
     "bytes of a prompt: fixed:N, uniform:A:B, lognormal:MEDIAN:SIGMA, exponential:MEAN "
     "(fixed:512)"},
    {"output", "DIST", TYPE_DRAWN, AT(output), 0, 0, NULL, "tokens asked for (fixed:64)"},
    {"body-bytes", "N", TYPE_WHOLE, AT(body_bytes), 0, OPTIONS_BODY_BYTES_MAX, NULL,
     "size of the body of post, of the file of upload (1024)"},
    {"body", "FILE", TYPE_TEXT, AT(body_file), 0, 0, NULL, "the same, from a file"},
    {"method", "M", TYPE_TEXT, AT(method), 0, 0, NULL, "another method for get or post"},
    {"model", "NAME", TYPE_TEXT, AT(model), 0, 0, NULL, "the model asked for (engine)"},
    {"token", "T", TYPE_LIST, AT(tokens), 0, 0, NULL, "bearer token; several are taken in turn"},
    {"tokens-file", "FILE", TYPE_TEXT, AT(tokens_file), 0, 0, NULL, "tokens, one a line"},
    {"scale-up-timeout", "S", TYPE_NUMBER, AT(scale_up_timeout_s), 0, 86400, NULL,
     "send X-Scale-Up-Timeout: be held while a replica starts"},
    {"header", "'NAME: VALUE'", TYPE_LIST, AT(headers), 0, 0, NULL,
     "a field of one's own; repeatable"},
    {"host", "NAME", TYPE_TEXT, AT(host), 0, 0, NULL,
     "Host or :authority, instead of the URL's; TLS goes by the URL's"},
    {"abort", "SHARE", TYPE_NUMBER, AT(abort_share), 0, 1, NULL,
     "give up this share (0 to 1): half before the head, half in mid-stream (0)"},

    {NULL, NULL, TYPE_FLAG, 0, 0, 0, NULL, "How it gets there"},
    {"http", "1|2|auto", TYPE_WORD, AT(http), 0, 0, http_words,
     "version; auto asks by ALPN and is 1 in clear text (auto)"},
    {"connections", "N", TYPE_WHOLE, AT(connections), 1, OPTIONS_CONNECTIONS_MAX, NULL,
     "connections; at most so many with --rate (1)"},
    {"streams", "M", TYPE_WHOLE, AT(streams), 1, OPTIONS_STREAMS_MAX, NULL,
     "requests at once on each HTTP/2 connection (1)"},
    {"requests-per-connection", "N", TYPE_WHOLE, AT(requests_per_connection), 0, 1e15, NULL,
     "close it after so many; 0: never (0)"},
    {"connect", "WHERE", TYPE_TEXT, AT(connect), 0, 0, NULL,
     "HOST:PORT or unix:PATH to connect to, instead of the URL's"},
    {"cacert", "FILE", TYPE_TEXT, AT(cacert), 0, 0, NULL, "trust these certificates (PEM)"},
    {"insecure", NULL, TYPE_FLAG, AT(insecure), 0, 0, NULL, "trust any certificate"},
    {"resume", NULL, TYPE_FLAG, AT(resume), 0, 0, NULL,
     "resume TLS sessions by ticket; without it each handshake is a full one"},

    {NULL, NULL, TYPE_FLAG, 0, 0, 0, NULL, "How much, and for how long"},
    {"requests", "N", TYPE_WHOLE, AT(requests), 0, 1e15, NULL, "end after so many"},
    {"duration", "S", TYPE_NUMBER, AT(duration_s), 0, 1e7, NULL,
     "end after so many seconds (10, unless --requests or --hold)"},
    {"warmup", "S", TYPE_NUMBER, AT(warmup_s), 0, 1e7, NULL, "do not count the first seconds (0)"},
    {"ramp", "S", TYPE_NUMBER, AT(ramp_s), 0, 1e7, NULL,
     "begin the connections' requests spread over so many seconds (0)"},
    {"rate", "R", TYPE_NUMBER, AT(rate), 0, 1e7, NULL,
     "open loop: R requests a second, whatever becomes of them; latency counts from the intended "
     "time"},
    {"arrivals", "WORD", TYPE_WORD, AT(arrivals), 0, 0, arrivals_words,
     "of the open loop: constant or poisson (constant)"},
    {"timeout", "S", TYPE_NUMBER, AT(timeout_s), 0, 1e7, NULL,
     "give a request no more than this; 0: all the time (0)"},
    {"hold", NULL, TYPE_FLAG, AT(hold), 0, 0, NULL,
     "open all, print \"open\" when all are, keep them until a signal or --duration"},
    {"seed", "N", TYPE_WHOLE, AT(seed), 0, 1e15, NULL, "of everything drawn by chance (1)"},

    {NULL, NULL, TYPE_FLAG, 0, 0, 0, NULL, "What is said"},
    {"json", "FILE", TYPE_TEXT, AT(json_file), 0, 0, NULL, "the report as JSON; - is stdout"},
    {"quiet", NULL, TYPE_FLAG, AT(quiet), 0, 0, NULL, "no progress, no report in words"},
};
#undef AT

enum { ROWS = sizeof rows / sizeof *rows, HELP_COLUMN = 30 };

void options_help(struct buf *out) {
  buf_str(
      out,
      "usage: headrace bench [OPTION]... URL\n\n"
      "Sends OpenAI-style load to URL (http://HOST:PORT/v1 or https://...) and measures: latency,\n"
      "time to the first token, time between tokens, and whether every event came, once.\n"
      "Without --rate each connection (each stream of HTTP/2) asks again when it is answered.\n");
  for (int i = 0; i < ROWS; i++) {
    if (!rows[i].name) {
      buf_printf(out, "\n%s:\n", rows[i].help);
      continue;
    }
    char left[64];
    int n =
        snprintf(left, sizeof left, "  --%s %s", rows[i].name, rows[i].value ? rows[i].value : "");
    buf_printf(out, "%-*s%s%s\n", HELP_COLUMN, left, n >= HELP_COLUMN ? "  " : "", rows[i].help);
  }
  buf_str(out, "\nExample: headrace bench --token hr_demo --cacert run/ca.pem --connections 50 \\\n"
               "             --duration 30 https://localhost:8443/v1\n");
}

static const struct option_row *row_find(struct slice name) {
  for (int i = 0; i < ROWS; i++)
    if (rows[i].name && slice_equal(name, slice_str(rows[i].name)))
      return &rows[i];
  return NULL;
}

static enum err number_store(const struct option_row *row, const char *text, double *to,
                             struct buf *why) {
  char *end;
  double n = strtod(text, &end);
  bool whole = row->type == TYPE_WHOLE;
  if (end == text || *end || !(n >= row->least && n <= row->most) || (whole && n != floor(n))) {
    buf_printf(why, "--%s: '%s' is not right; give a %s from %.15g to %.15g", row->name, text,
               whole ? "whole number" : "number", row->least, row->most);
    return ERR_RANGE;
  }
  *to = n;
  return OK;
}

static enum err word_store(const struct option_row *row, const char *text, int *to,
                           struct buf *why) {
  for (int i = 0; row->words[i]; i++)
    if (strcmp(row->words[i], text) == 0) {
      *to = i;
      return OK;
    }
  buf_printf(why, "--%s: there is no '%s'; give one of", row->name, text);
  for (int i = 0; row->words[i]; i++)
    buf_printf(why, "%s %s", i ? "," : "", row->words[i]);
  return ERR_RANGE;
}

static enum err list_store(const struct option_row *row, const char *text, struct options_list *to,
                           struct buf *why) {
  if (to->count == OPTIONS_REPEATED_MAX) {
    buf_printf(why, "--%s: more than %d; for more tokens use --tokens-file", row->name,
               OPTIONS_REPEATED_MAX);
    return ERR_LIMIT;
  }
  to->texts[to->count++] = text;
  return OK;
}

static enum err drawn_store(const struct option_row *row, const char *text, struct distribution *to,
                            struct buf *why) {
  buf_printf(why, "--%s: ", row->name);
  enum err e = distribution_parse(text, to, why);
  if (!e)
    buf_clear(why);
  return e;
}

static enum err store(struct options *o, const struct option_row *row, const char *text,
                      struct buf *why) {
  void *at = (char *)o + row->offset;
  switch (row->type) {
  case TYPE_NUMBER:
  case TYPE_WHOLE:
    return number_store(row, text, at, why);
  case TYPE_WORD:
    return word_store(row, text, at, why);
  case TYPE_LIST:
    return list_store(row, text, at, why);
  case TYPE_DRAWN:
    return drawn_store(row, text, at, why);
  case TYPE_TEXT:
    *(const char **)at = text;
    return OK;
  case TYPE_FLAG:
    *(bool *)at = true;
    return OK;
  }
  return OK;
}

/* "--name", "--name=value" */
static enum err option_take(struct options *o, int argc, char **argv, int *i, struct buf *why) {
  const char *argument = argv[*i], *equals = strchr(argument, '=');
  struct slice name = slice_skip(slice_str(argument), 2);
  if (equals)
    name.len = (size_t)(equals - argument) - 2;
  const struct option_row *row = row_find(name);
  if (!row) {
    buf_printf(why, "there is no option %s; see headrace bench --help", argument);
    return ERR_ABSENT;
  }
  if (row->type == TYPE_FLAG && equals) {
    buf_printf(why, "--%s takes no value; leave out '%s'", row->name, equals);
    return ERR_SYNTAX;
  }
  if (row->type == TYPE_FLAG)
    return store(o, row, NULL, why);
  const char *text = equals ? equals + 1 : *i + 1 < argc ? argv[++*i] : NULL;
  if (!text) {
    buf_printf(why, "--%s needs a value: --%s %s", row->name, row->name, row->value);
    return ERR_SYNTAX;
  }
  return store(o, row, text, why);
}

static enum err together_check(const struct options *o, struct buf *why) {
  if (!o->url)
    buf_str(why, "where to? give a URL, such as https://localhost:8443/v1");
  else if (o->hold && o->rate > 0)
    buf_str(why, "--hold opens all requests at once; leave out --rate");
  else if (o->http == HTTP_1 && o->streams > 1 && !o->mix_file)
    buf_str(why, "--streams is for HTTP/2; with --http 1 use --connections");
  else if (o->connections * o->streams > 4e6)
    buf_str(why, "--connections times --streams is above 4000000; take fewer");
  else if (o->method && o->kind != KIND_GET && o->kind != KIND_POST)
    buf_str(why, "--method is for --kind get or post");
  else if (o->body_file && o->kind != KIND_UPLOAD && o->kind != KIND_POST)
    buf_str(why, "--body is for --kind post or upload");
  else
    return OK;
  return ERR_SYNTAX;
}

enum err options_read(struct options *o, int argc, char **argv, struct buf *why) {
  *o = (struct options){.kind = KIND_STREAM,
                        .prompt = {.shape = FIXED, .a = 512},
                        .output = {.shape = FIXED, .a = 64},
                        .body_bytes = 1024,
                        .model = "engine",
                        .connections = 1,
                        .streams = 1,
                        .seed = 1};
  for (int i = 0; i < argc; i++) {
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
      return ERR_ABSENT;
    enum err e = OK;
    if (strncmp(argv[i], "--", 2) == 0)
      e = option_take(o, argc, argv, &i, why);
    else if (o->url) {
      buf_printf(why, "one URL at a time: '%s' and '%s'", o->url, argv[i]);
      e = ERR_SYNTAX;
    } else
      o->url = argv[i];
    if (e)
      return e == ERR_ABSENT ? ERR_SYNTAX : e;
  }
  if (o->duration_s == 0 && o->requests == 0 && !o->hold)
    o->duration_s = 10;
  return together_check(o, why);
}

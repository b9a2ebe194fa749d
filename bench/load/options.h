/* The command line of `headrace bench`: one table of rows, from which parsing, checks and help
 * follow. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/arrivals.h"
#include "lib/base/err.h"

struct buf;

enum {
  OPTIONS_REPEATED_MAX = 64, /* of --token and of --header */
  OPTIONS_CONNECTIONS_MAX = 100 * 1000,
  OPTIONS_STREAMS_MAX = 10 * 1000,
  OPTIONS_BODY_BYTES_MAX = 1 << 30,
  OPTIONS_PROMPT_BYTES_MAX = 64 << 20,
  OPTIONS_OUTPUT_TOKENS_MAX = 1000 * 1000,
};

enum options_http { HTTP_AUTO, HTTP_1, HTTP_2 };

struct options_list {
  const char *texts[OPTIONS_REPEATED_MAX];
  int count;
};

/* Texts are those of argv. NULL, 0 and false mean that nothing was said, where no default is
 * named. Times in seconds. */
struct options {
  const char *url;
  int kind; /* enum workload_kind */
  const char *mix_file, *body_file, *tokens_file, *method, *host, *connect, *cacert, *model,
      *json_file;
  struct distribution prompt, output;
  double body_bytes, connections, streams, requests, requests_per_connection, seed;
  double ramp_s, rate, duration_s, warmup_s, timeout_s, abort_share, scale_up_timeout_s;
  int http;     /* enum options_http */
  int arrivals; /* enum arrivals_kind */
  bool resume, insecure, quiet, hold;
  struct options_list tokens, headers;
};

/* argv without the words "headrace bench". ERR_ABSENT: help was asked for. On any other error *why
 * names the option and the remedy. */
enum err options_read(struct options *o, int argc, char **argv, struct buf *why) MUST_CHECK;
void options_help(struct buf *out);

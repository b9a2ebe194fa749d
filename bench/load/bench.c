#include "bench/load/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/load.h"
#include "bench/load/options.h"
#include "bench/load/summary.h"
#include "lib/base/buf.h"

static int say_wrong(const struct buf *why, int code) {
  fprintf(stderr, "headrace bench: %s\n", why->data ? why->data : "out of memory");
  return code;
}

static int write_out(FILE *to, struct buf *text) {
  bool good = to && !text->failed && fwrite(text->data, 1, text->len, to) == text->len;
  good = to && fflush(to) == 0 && good;
  buf_free(text);
  return good ? 0 : 1;
}

static int json_write(const struct load *l) {
  const char *path = l->options->json_file;
  struct buf text = BUF_INIT(SUMMARY_BYTES_MAX);
  summary_json(l, &text);
  if (strcmp(path, "-") == 0)
    return write_out(stdout, &text);
  FILE *to = fopen(path, "w");
  int failed = write_out(to, &text);
  if (to && fclose(to) != 0)
    failed = 1;
  if (failed)
    fprintf(stderr, "headrace bench: --json: %s cannot be written; check path and permissions\n",
            path);
  return failed;
}

/* The report in words gives way to JSON on the same stream. */
static int report(const struct load *l) {
  const struct options *o = l->options;
  bool json_there = o->json_file && strcmp(o->json_file, "-") == 0;
  int failed = o->json_file ? json_write(l) : 0;
  if (!o->quiet && isatty(STDERR_FILENO))
    fputs("\r\033[K", stderr);
  if (o->quiet || json_there)
    return failed;
  struct buf text = BUF_INIT(SUMMARY_BYTES_MAX);
  summary_text(l, &text);
  return write_out(stdout, &text) | failed;
}

static int run(const struct options *o) {
  struct buf why = BUF_INIT(4096);
  struct load l;
  int code = 2;
  if (load_open(&l, o, &why) == OK) {
    load_run(&l);
    code = report(&l);
  } else {
    say_wrong(&why, code);
  }
  load_close(&l);
  buf_free(&why);
  return code;
}

static int help(void) {
  struct buf text = BUF_INIT(SUMMARY_BYTES_MAX);
  options_help(&text);
  return write_out(stdout, &text);
}

int bench_command(int argc, char **argv) {
  struct options o;
  struct buf why = BUF_INIT(4096);
  enum err e = options_read(&o, argc, argv, &why);
  int code = e == ERR_ABSENT ? help() : e ? say_wrong(&why, 2) : run(&o);
  buf_free(&why);
  return code;
}

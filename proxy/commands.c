#include "proxy/commands.h"

#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/option/option.h"
#include "proxy/file.h"
#include "proxy/request/failure.h"

enum { TEXT_BYTES_MAX = 16 << 20 };

static struct file *load(const char *path) {
  struct buf errors = BUF_INIT(1 << 20);
  struct file *f = NULL;
  if (file_load(path, &f, &errors) != OK)
    fputs(errors.data ? errors.data : "out of memory\n", stderr);
  buf_free(&errors);
  return f;
}

static int print(struct buf *b) {
  fputs(b->data ? b->data : "", stdout);
  int failed = b->failed || fflush(stdout);
  buf_free(b);
  return failed ? 1 : 0;
}

int command_check(const char *path) {
  struct file *f = load(path);
  if (!f)
    return 1;
  printf("%s: good\n", path);
  file_free(f);
  return 0;
}

int command_config(const char *path) {
  struct file *f = load(path);
  if (!f)
    return 1;
  struct buf b = BUF_INIT(TEXT_BYTES_MAX);
  option_values(&file_table, f, &b);
  file_free(f);
  return print(&b);
}

int command_schema(void) {
  struct buf b = BUF_INIT(TEXT_BYTES_MAX);
  option_schema(&file_table, "Headrace configuration", &b);
  return print(&b);
}

int command_reference(void) {
  struct buf b = BUF_INIT(TEXT_BYTES_MAX);
  buf_str(
      &b,
      "# Configuration\n\n"
      "One JSON file with `//` comments. Relative paths are relative to the working directory.\n"
      "`headrace check -c FILE` says what is wrong and where. Secrets may be `env:NAME` or "
      "`file:PATH`.\n"
      "This page is generated from the option rows: `headrace reference`.\n\n"
      "| key | allowed | default | reload | what |\n|---|---|---|---|---|\n");
  option_reference(&file_table, &b);
  return print(&b);
}

int command_answers(void) {
  struct buf b = BUF_INIT(TEXT_BYTES_MAX);
  failure_table(&b);
  return print(&b);
}

int command_example(void) {
  struct buf b = BUF_INIT(TEXT_BYTES_MAX);
  buf_str(&b, "// Every option with its help and its default. Generated: headrace example\n");
  option_example(&file_table, &b);
  return print(&b);
}

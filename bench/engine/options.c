#include "options.h"
#include "engine.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_type { OPTION_NUMBER, OPTION_RATE, OPTION_TEXT, OPTION_FLAG };

static const struct option {
  const char *name, *value;
  enum option_type type;
  size_t offset;
  long max;
  const char *help;
} options[] = {
#define AT(member) offsetof(struct engine_options, member)
    {"port", "N", OPTION_NUMBER, AT(port), 65535, "TCP port to listen on; 0 picks a free one"},
    {"host", "NAME", OPTION_TEXT, AT(host), 0, "address to listen on (127.0.0.1)"},
    {"unix", "PATH", OPTION_TEXT, AT(unix_path), 0, "Unix socket to listen on, also"},
    {"load-ms", "N", OPTION_NUMBER, AT(load_ms), LONG_MAX / 1000,
     "answer 503 for so long, as while a model loads"},
    {"tokens", "N", OPTION_NUMBER, AT(tokens), 100000, "tokens of an answer, unless asked (16)"},
    {"rate", "R", OPTION_RATE, AT(rate_per_s), 1000000, "tokens per second; 0: at once (50)"},
    {"burst", NULL, OPTION_FLAG, AT(burst), 0, "all streams tick together"},
    {"stamp", NULL, OPTION_FLAG, AT(stamp), 0,
     "say in each token event which one it is, and when it was sent"},
    {"max-concurrency", "N", OPTION_NUMBER, AT(max_concurrency), LONG_MAX,
     "model requests served at a time, the others wait; 0: all (0)"},
    {"log", "FILE", OPTION_TEXT, AT(log_path), 0, "a JSON line per event; - is standard error"},
    {"unsent", "BYTES", OPTION_NUMBER, AT(unsent), INT_MAX,
     "written ahead of what TCP has sent, at most; 0: what the kernel takes (0)"},
    {"model", "NAME", OPTION_TEXT, AT(model), 0, "the model's name (engine)"},
    {"keepalive-ms", "N", OPTION_NUMBER, AT(keepalive_ms), LONG_MAX / 1000,
     "close a connection idle for so long; 0: never (5000)"},
    {"exit-after-ms", "N", OPTION_NUMBER, AT(exit_after_ms), LONG_MAX / 1000,
     "exit with 0 after so long, whatever is open; 0: never (0)"},
    {"fail-start", NULL, OPTION_FLAG, AT(fail_start), 0, "fail once the model would be loaded"},
#undef AT
};

enum { OPTIONS = sizeof(options) / sizeof(*options) };

static void options_help(void) {
  printf("usage: engine --port N [OPTION]...\n\n"
         "A stand-in for a model server, with the interface of OpenAI-compatible engines.\n\n");
  for (int i = 0; i < OPTIONS; i++) {
    char left[32];
    snprintf(left, sizeof(left), "--%s %s", options[i].name,
             options[i].value ? options[i].value : "");
    printf("  %-22s %s\n", left, options[i].help);
  }
  printf("  %-22s %s\n", "--help", "this text");
  exit(0);
}

static void options_wrong(const char *argument) {
  fprintf(stderr, "engine: %s is not right here; see --help\n", argument);
  exit(2);
}

static double options_parse(const struct option *row, const char *argument, const char *value) {
  char *end;
  double n = row->type == OPTION_RATE ? strtod(value, &end) : (double)strtol(value, &end, 10);
  if (end == value || *end || !(n >= 0) || n > (double)row->max)
    options_wrong(argument);
  return n;
}

static void options_store(struct engine_options *o, const struct option *row, const char *argument,
                          const char *value) {
  void *at = (char *)o + row->offset;
  if (row->type == OPTION_FLAG)
    *(bool *)at = true;
  else if (row->type == OPTION_TEXT)
    *(const char **)at = value;
  else if (row->type == OPTION_RATE)
    *(double *)at = options_parse(row, argument, value);
  else
    *(long *)at = (long)options_parse(row, argument, value);
}

static const struct option *options_find(const char *argument) {
  for (int i = 0; i < OPTIONS; i++) {
    size_t n = strlen(options[i].name);
    if (!strncmp(argument, "--", 2) && !strncmp(argument + 2, options[i].name, n) &&
        (!argument[2 + n] || argument[2 + n] == '='))
      return &options[i];
  }
  return NULL;
}

void options_read(struct engine_options *o, int argc, char **argv) {
  *o = (struct engine_options){.port = -1,
                               .host = "127.0.0.1",
                               .tokens = 16,
                               .keepalive_ms = 5000,
                               .rate_per_s = 50,
                               .model = "engine"};
  for (int i = 1; i < argc; i++) {
    const char *argument = argv[i], *value = strchr(argument, '=');
    if (!strcmp(argument, "--help"))
      options_help();
    const struct option *row = options_find(argument);
    if (!row || (row->type == OPTION_FLAG && value))
      options_wrong(argument);
    if (value)
      value++;
    else if (row->type != OPTION_FLAG && !(value = argv[++i]))
      options_wrong(argument);
    options_store(o, row, argument, value);
  }
  if (o->port < 0 && !o->unix_path)
    options_wrong("a command line without --port or --unix");
}

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/bench.h"
#include "proxy/commands.h"
#include "proxy/run.h"
#include "proxy/version.h"

/* Read by jemalloc. What a burst has left behind goes back to the system after half a second, by
 * a thread of its own: idle connections are many, and should be small. */
const char *malloc_conf = "background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0";

static const char usage[] =
    "usage: headrace COMMAND [-c FILE] [--json]\n"
    "\n"
    "  run                      proxy and scheduler in one process\n"
    "  proxy, scheduler         one role of a fleet, over Redis\n"
    "  reload                   the running process reads its configuration again\n"
    "  check                    say what is wrong in a configuration\n"
    "  config                   print the effective values\n"
    "  schema                   print the JSON Schema of the configuration\n"
    "  example, reference       print every option: as a file, as a page\n"
    "  answers                  print every answer of our own, and what to do about it\n"
    "  status                   endpoints, states, replicas, pending, held, open\n"
    "  explain ENDPOINT         the scheduler's last decisions, in words with numbers\n"
    "  token add NAME [--owner O] [--organisation X]... [--endpoint E]... [--expires 30d]\n"
    "            [--concurrency N] [--rate N] [--token TEXT]\n"
    "  token list | token revoke NAME\n"
    "  bench URL                send load and measure; see headrace bench --help\n"
    "\n"
    "-c FILE is the configuration (default conf/headrace.json).\n";

static int usage_error(const char *what) {
  fprintf(stderr, "headrace: %s\n\n%s", what, usage);
  return 2;
}

/* Takes "-c FILE" and "--json" out of the arguments; the rest stays in order. */
static int common_options(int argc, char **argv, const char **path, bool *json) {
  int kept = 0;
  for (int i = 0; i < argc; i++)
    if ((strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) && i + 1 < argc)
      *path = argv[++i];
    else if (strcmp(argv[i], "--json") == 0)
      *json = true;
    else
      argv[kept++] = argv[i];
  argv[kept] = NULL;
  return kept;
}

int main(int argc, char **argv) {
  const char *path = "conf/headrace.json";
  bool json = false;
  if (argc > 1 && strcmp(argv[1], "bench") == 0)
    return bench_command(argc - 2, argv + 2); /* has options of its own */
  argc = common_options(argc, argv, &path, &json);
  const char *command = argc > 1 ? argv[1] : "";
  if (strcmp(command, "token") == 0)
    return argc > 2 ? command_token(path, argc - 2, argv + 2)
                    : usage_error("token add, list or revoke?");
  if (strcmp(command, "explain") == 0)
    return argc == 3 ? command_explain(path, argv[2], json)
                     : usage_error("explain which endpoint?");
  if (argc > 2)
    return usage_error("too many arguments");
  if (strcmp(command, "run") == 0)
    return run(path, RUN_BOTH);
  if (strcmp(command, "proxy") == 0)
    return run(path, RUN_PROXY);
  if (strcmp(command, "scheduler") == 0)
    return run(path, RUN_SCHEDULER);
  if (strcmp(command, "check") == 0)
    return command_check(path);
  if (strcmp(command, "config") == 0)
    return command_config(path);
  if (strcmp(command, "schema") == 0)
    return command_schema();
  if (strcmp(command, "reference") == 0)
    return command_reference();
  if (strcmp(command, "example") == 0)
    return command_example();
  if (strcmp(command, "answers") == 0)
    return command_answers();
  if (strcmp(command, "reload") == 0)
    return command_reload(path);
  if (strcmp(command, "status") == 0)
    return command_status(path, json);
  if (strcmp(command, "--version") == 0 || strcmp(command, "version") == 0)
    return printf("headrace %s\n", HEADRACE_VERSION) > 0 ? 0 : 1;
  if (strcmp(command, "--help") == 0 || strcmp(command, "help") == 0)
    return fputs(usage, stdout) >= 0 ? 0 : 1;
  return usage_error(*command ? "no such command" : "which command?");
}

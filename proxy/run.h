/* The running process: `headrace run` (both roles), `headrace proxy`, `headrace scheduler`. */
#pragma once

enum run_roles { RUN_PROXY = 1, RUN_SCHEDULER = 2, RUN_BOTH = 3 };

/* Runs until SIGTERM or SIGINT (a second one hurries); returns the exit code. */
int run(const char *config_path, enum run_roles roles);

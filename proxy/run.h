/* `headrace run`: both roles in one process, the store in memory. */
#pragma once

/* Runs until SIGTERM or SIGINT (a second one hurries); returns the exit code. */
int run(const char *config_path);

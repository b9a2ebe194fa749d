/* Operator commands. Each prints and returns the exit code: 0, 1 when it failed, 2
 * for a usage error. */
#pragma once

#include <stdbool.h>

int command_check(const char *path);
int command_config(const char *path);
int command_schema(void);
int command_reference(void);
int command_answers(void);
int command_example(void);
/* `path` finds the admin socket. */
int command_status(const char *path, bool json);
/* Asks the running process to read its configuration again; says what is wrong with it. */
int command_reload(const char *path);
int command_explain(const char *path, const char *endpoint, bool json);
/* argv[0] is "add", "list" or "revoke". */
int command_token(const char *path, int argc, char **argv);

#ifndef ENGINE_LOG_H
#define ENGINE_LOG_H

#include <stdbool.h>

struct conn;

/* One JSON line per event, written at once, so that a test can follow it as a file. */

/* "-" is standard error. False when the file cannot be opened. */
bool log_open(const char *path);
void log_event(const struct conn *c, const char *event);

#endif

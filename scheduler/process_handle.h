/* A process that another scheduler of this machine has started, told from any other that
 * may have its pid by now: pid, when it began, port and the number of the boot. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* "PID:TICKS:PORT:BOOT". */
void process_handle_write(pid_t pid, int port, char *to, size_t room);
/* False when no such process runs here. */
bool process_handle_read(const char *handle, pid_t *pid, int *port);
/* Whether no other process has its number by now; as long as there is one of its process group,
 * none can. */
bool process_handle_unclaimed(const char *handle);
/* Whether it still is the process that the handle means. */
bool process_handle_holds(const char *handle);

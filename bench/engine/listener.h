#ifndef ENGINE_LISTENER_H
#define ENGINE_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

/* Opens what the command line names and prints a line for each. False, with a message, on error. */
bool listener_open_all(void);
void listener_close_all(void);
/* Closes the sockets, so that clients are refused, and opens them again after a while. */
void listener_refuse(uint64_t for_us);
void listener_unlink(void);

#endif

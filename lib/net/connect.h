/* Outgoing connections. */
#pragma once

#include <stdbool.h>

struct address;

/* Starts connecting, without waiting: a non-blocking descriptor, writable once the
 * outcome is known; -1 (errno says why) when it failed already. */
int connect_start(const struct address *a);
/* Whether such an errno says that we have nothing left to connect with (descriptors, local ports,
 * memory): it says nothing of the other side. */
bool connect_starved(int error);

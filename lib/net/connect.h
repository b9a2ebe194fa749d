/* Outgoing connections. */
#pragma once

struct address;

/* Starts connecting, without waiting: a non-blocking descriptor, writable once the
 * outcome is known; -1 (errno says why) when it failed already. */
int connect_start(const struct address *a);

/* What a service manager wants to know: the datagrams of sd_notify(3), and its watchdog. Without
 * one nothing is said. Main thread only. */
#pragma once

#include "lib/base/clock.h"

/* Takes NOTIFY_SOCKET and WATCHDOG_USEC out of the environment, which children get. */
void notify_take(void);
/* One line or several, "READY=1" for one. */
void notify_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* How often at least WATCHDOG=1 is wanted; 0: it is not. */
usec_t notify_watchdog(void);
/* The same words for a process that takes our place, "NAME=..."; `i` from 0 on, NULL at the end. */
const char *notify_word(int i);

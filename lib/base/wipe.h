/* Secrets are not left behind in memory that is free. */
#pragma once

#include <stddef.h>

#include "lib/base/slice.h"

/* Zeroes bytes even if nobody looks at them any more. */
void wipe(void *p, size_t n);
/* The same for text that is lent as constant by who owns it. */
void wipe_slice(struct slice s);
/* Up to its end. Accepts NULL. */
void wipe_text(char *text);
/* Zeroes all of a piece of heap memory and frees it. Accepts NULL. */
void wipe_free(void *p);

/* UTF-8 (RFC 3629), as far as writing valid JSON needs it. */
#pragma once

#include <stddef.h>

#include "lib/base/slice.h"

/* The length in bytes (1 to 4) of the character at the start of s; 0 when the
 * bytes there are not a valid, shortest-form character. */
size_t utf8_length(struct slice s);

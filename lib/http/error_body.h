/* The body of an error answer, in the shape OpenAI's clients understand:
 * {"error":{"message","type","param","code"}}. */
#pragma once

#include <stddef.h>

/* Writes it into `to`, NUL-terminated, and returns its length without the NUL.
 * `param` NULL becomes null. A message that does not fit is cut; room must be at least
 * ERROR_BODY_BYTES_MIN. */
enum { ERROR_BODY_BYTES_MIN = 512 };
size_t http_error_body(char *to, size_t room, const char *message, const char *type,
                       const char *param, const char *code);

/* Private keys: read so that no text of them is left in memory. */
#pragma once

#include <stdbool.h>

struct evp_pkey_st;

/* Whether it is PEM text itself ("-----BEGIN ..."), and no file. */
bool key_is_text(const char *key);
/* From PEM text, or the file of that name. NULL: it cannot be read; OpenSSL's error queue, or
 * errno, says why. The caller frees. */
struct evp_pkey_st *key_read(const char *key);
/* While it is on, what OpenSSL frees on this thread is zeroed before. Does nothing if OpenSSL had
 * memory before main. */
void key_wiping(bool on);

/* A certificate authority and a certificate of our own, for a first start. */
#pragma once

#include "lib/base/err.h"

struct buf;

struct selfsign_paths {
  char ca[512], certificate[512], key[512]; /* in the directory: ca.pem, cert.pem, key.pem */
};

/* Makes, when absent, about to expire, or not for all of `names`, a CA (good for ten years; its
 * key, ca-key.pem, has mode 0600) and a certificate (one year; ECDSA P-256) for these names and the
 * loopback addresses. On error *why names the file and the remedy. */
enum err selfsign_ensure(const char *directory, char *const *names, struct selfsign_paths *paths,
                         struct buf *why) MUST_CHECK;

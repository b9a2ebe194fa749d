#include "lib/net/key.h"

#include <fcntl.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/wipe.h"

enum { KEY_BYTES_MAX = 64 * 1024 };

static _Thread_local bool wiping;

static void *take(size_t n, const char *file, int line) {
  return malloc(n);
}

static void give(void *p, const char *file, int line) {
  if (wiping)
    wipe_free(p);
  else
    free(p);
}

static void *resize(void *p, size_t n, const char *file, int line) {
  if (!wiping || !p)
    return realloc(p, n);
  void *other = malloc(n);
  size_t had = malloc_usable_size(p);
  if (other)
    memcpy(other, p, had < n ? had : n);
  if (other || n == 0)
    wipe_free(p);
  return other;
}

/* OpenSSL takes them only before its first allocation. */
__attribute__((constructor)) static void own_memory(void) {
  CRYPTO_set_mem_functions(take, resize, give);
}

void key_wiping(bool on) {
  wiping = on;
}

bool key_is_text(const char *key) {
  return strncmp(key, "-----BEGIN", 10) == 0;
}

/* Else OpenSSL would ask the terminal for a pass phrase, and everybody would wait. */
static int no_phrase(char *to, int room, int writing, void *user) {
  return -1;
}

static EVP_PKEY *from_text(const char *text, size_t len) {
  wiping = true;
  BIO *bio = BIO_new_mem_buf(text, (int)len);
  EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_phrase, NULL) : NULL;
  BIO_free(bio);
  wiping = false;
  return key;
}

/* Without stdio, whose buffer would keep it. */
static EVP_PKEY *from_file(const char *path) {
  char text[KEY_BYTES_MAX];
  size_t len = 0;
  ssize_t n = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return NULL;
  while (len < sizeof text && (n = read(fd, text + len, sizeof text - len)) > 0)
    len += (size_t)n;
  close(fd);
  EVP_PKEY *key = n == 0 ? from_text(text, len) : NULL;
  wipe(text, len);
  return key;
}

struct evp_pkey_st *key_read(const char *key) {
  return key_is_text(key) ? from_text(key, strlen(key)) : from_file(key);
}

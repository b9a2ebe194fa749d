#include "lib/fleet/token.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/map.h"

struct token_set {
  _Atomic int refs;
  struct token **tokens; /* in the order of the file */
  size_t count, room;
  struct map by_hash;
};

static void strings_free(char **strings) {
  for (char **s = strings; s && *s; s++)
    free(*s);
  free(strings);
}

static void token_free(struct token *t) {
  if (!t)
    return;
  free(t->name);
  free(t->owner);
  strings_free(t->organisations);
  strings_free(t->endpoints);
  free(t);
}

static char **strings_copy(char *const *strings) {
  size_t n = 0;
  while (strings && strings[n])
    n++;
  char **copy = calloc(n + 1, sizeof *copy);
  for (size_t i = 0; copy && i < n; i++)
    copy[i] = strdup(strings[i]);
  return copy;
}

static struct token *token_copy(const struct token *t) {
  struct token *copy = malloc(sizeof *copy);
  if (!copy)
    return NULL;
  *copy = *t;
  copy->name = strdup(t->name);
  copy->owner = t->owner ? strdup(t->owner) : NULL;
  copy->organisations = strings_copy(t->organisations);
  copy->endpoints = strings_copy(t->endpoints);
  return copy;
}

static struct slice hash_key(const unsigned char *hash) {
  return slice_of((const char *)hash, TOKEN_HASH_BYTES);
}

static struct token_set *set_new(void) {
  struct token_set *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  s->refs = 1;
  map_init(&s->by_hash, TOKENS_MAX);
  return s;
}

/* Owns the token from now on, also when it fails. */
static enum err set_put(struct token_set *s, struct token *t) {
  if (!t)
    return ERR_MEMORY;
  enum err e = map_get(&s->by_hash, hash_key(t->hash)) ? ERR_EXISTS : OK;
  if (!e && s->count == s->room) {
    size_t room = s->room ? s->room * 2 : 16;
    struct token **grown = realloc(s->tokens, room * sizeof(struct token *));
    if (grown) {
      s->tokens = grown;
      s->room = room;
    } else {
      e = ERR_MEMORY;
    }
  }
  if (!e)
    e = map_put(&s->by_hash, hash_key(t->hash), t);
  if (e)
    token_free(t);
  else
    s->tokens[s->count++] = t;
  return e;
}

struct token_set *token_set_ref(struct token_set *s) {
  atomic_fetch_add(&s->refs, 1);
  return s;
}

struct token_set *token_set_unref(struct token_set *s) {
  if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
    return NULL;
  for (size_t i = 0; i < s->count; i++)
    token_free(s->tokens[i]);
  free(s->tokens);
  map_clear(&s->by_hash);
  free(s);
  return NULL;
}

size_t token_set_count(const struct token_set *s) {
  return s->count;
}

const struct token *token_set_at(const struct token_set *s, size_t i) {
  return s->tokens[i];
}

static int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hash_parse(const char *text, unsigned char hash[TOKEN_HASH_BYTES]) {
  if (!text || strlen(text) != 2 * TOKEN_HASH_BYTES)
    return false;
  for (int i = 0; i < TOKEN_HASH_BYTES; i++) {
    int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0)
      return false;
    hash[i] = (unsigned char)(high << 4 | low);
  }
  return true;
}

static char **strings_read(const json_t *list) {
  size_t n = json_array_size(list);
  char **strings = calloc(n + 1, sizeof *strings);
  for (size_t i = 0, used = 0; strings && i < n; i++) {
    const char *text = json_string_value(json_array_get(list, i));
    if (text)
      strings[used++] = strdup(text);
  }
  return strings;
}

static enum err token_read(struct token_set *s, const json_t *o, size_t i, const char *path,
                           struct buf *why) {
  const char *name = json_string_value(json_object_get(o, "name"));
  const char *owner = json_string_value(json_object_get(o, "owner"));
  struct token *t = calloc(1, sizeof *t);
  if (!t)
    return ERR_MEMORY;
  if (!name || !hash_parse(json_string_value(json_object_get(o, "sha256")), t->hash)) {
    token_free(t);
    buf_printf(why, "%s: tokens[%zu]: needs a \"name\" and a \"sha256\" of 64 hexadecimal digits",
               path, i);
    return ERR_SYNTAX;
  }
  t->name = strdup(name);
  t->owner = owner ? strdup(owner) : NULL;
  t->organisations = strings_read(json_object_get(o, "organisations"));
  t->endpoints = strings_read(json_object_get(o, "endpoints"));
  t->created_s = json_integer_value(json_object_get(o, "created"));
  t->expires_s = json_integer_value(json_object_get(o, "expires"));
  enum err e = set_put(s, t);
  if (e == ERR_EXISTS)
    buf_printf(why, "%s: tokens[%zu]: the same token stands there twice", path, i);
  return e;
}

static enum err tokens_read(struct token_set *s, const json_t *root, const char *path,
                            struct buf *why) {
  const json_t *list = json_object_get(root, "tokens");
  if (!json_is_array(list)) {
    buf_printf(why, "%s: needs a list \"tokens\"", path);
    return ERR_SYNTAX;
  }
  for (size_t i = 0; i < json_array_size(list); i++) {
    enum err e = token_read(s, json_array_get(list, i), i, path, why);
    if (e)
      return e;
  }
  return OK;
}

enum err token_set_load(const char *path, struct token_set **set, struct buf *why) {
  struct token_set *s = set_new();
  if (!s)
    return ERR_MEMORY;
  json_error_t error;
  errno = 0;
  json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
  enum err e = OK;
  if (root)
    e = tokens_read(s, root, path, why);
  else if (access(path, F_OK) == 0 || errno != ENOENT) {
    buf_printf(why, "%s:%d:%d: %s", path, error.line > 0 ? error.line : 1,
               error.column > 0 ? error.column : 1, error.text);
    e = ERR_SYNTAX;
  }
  json_decref(root);
  if (e)
    token_set_unref(s);
  else
    *set = s;
  return e;
}

static json_t *strings_write(char *const *strings) {
  json_t *list = json_array();
  for (; strings && *strings; strings++)
    json_array_append_new(list, json_string(*strings));
  return list;
}

static json_t *token_write(const struct token *t) {
  char hex[2 * TOKEN_HASH_BYTES + 1];
  for (int i = 0; i < TOKEN_HASH_BYTES; i++)
    snprintf(hex + 2 * i, 3, "%02x", t->hash[i]);
  return json_pack("{s:s,s:s,s:s?,s:o,s:o,s:I,s:I}", "name", t->name, "sha256", hex, "owner",
                   t->owner, "organisations", strings_write(t->organisations), "endpoints",
                   strings_write(t->endpoints), "created", (json_int_t)t->created_s, "expires",
                   (json_int_t)t->expires_s);
}

static enum err write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return ERR_IO;
  size_t len = strlen(text);
  bool good = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
  close(fd);
  return good ? OK : ERR_IO;
}

enum err token_set_save(const struct token_set *set, const char *path) {
  json_t *list = json_array();
  for (size_t i = 0; i < set->count; i++)
    json_array_append_new(list, token_write(set->tokens[i]));
  json_t *root = json_pack("{s:i,s:o}", "version", 1, "tokens", list);
  char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL, *temporary = NULL;
  json_decref(root);
  enum err e = text && asprintf(&temporary, "%s.new", path) >= 0 ? OK : ERR_MEMORY;
  if (!e)
    e = write_file(temporary, text);
  if (!e && rename(temporary, path))
    e = ERR_IO;
  free(text);
  free(temporary);
  return e;
}

static pthread_key_t context_key;
static EVP_MD *sha256;

static void context_free(void *context) {
  EVP_MD_CTX_free(context);
}

static void hash_open(void) {
  pthread_key_create(&context_key, context_free);
  sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

__attribute__((destructor)) static void hash_close(void) {
  EVP_MD_free(sha256);
}

/* One context a thread, so that hashing allocates nothing. */
static EVP_MD_CTX *context_get(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, hash_open);
  EVP_MD_CTX *context = pthread_getspecific(context_key);
  if (context)
    return context;
  context = EVP_MD_CTX_new();
  if (pthread_setspecific(context_key, context) == 0)
    return context;
  EVP_MD_CTX_free(context);
  return NULL;
}

void token_hash(struct slice text, unsigned char hash[TOKEN_HASH_BYTES]) {
  EVP_MD_CTX *context = context_get();
  unsigned len = 0;
  if (!context || EVP_DigestInit_ex2(context, sha256, NULL) != 1 ||
      EVP_DigestUpdate(context, text.data, text.len) != 1 ||
      EVP_DigestFinal_ex(context, hash, &len) != 1)
    memset(hash, 0, TOKEN_HASH_BYTES);
}

const struct token *token_set_find(const struct token_set *s,
                                   const unsigned char hash[TOKEN_HASH_BYTES], int64_t now_s) {
  const struct token *t = map_get(&s->by_hash, hash_key(hash));
  return t && (t->expires_s == 0 || now_s < t->expires_s) ? t : NULL;
}

/* Without the token of that name; NULL: with all. */
static enum err set_copy(const struct token_set *s, const char *without, struct token_set **out) {
  struct token_set *copy = set_new();
  if (!copy)
    return ERR_MEMORY;
  for (size_t i = 0; i < s->count; i++) {
    if (without && strcmp(s->tokens[i]->name, without) == 0)
      continue;
    enum err e = set_put(copy, token_copy(s->tokens[i]));
    if (e) {
      token_set_unref(copy);
      return e;
    }
  }
  *out = copy;
  return OK;
}

static const struct token *find_name(const struct token_set *s, const char *name) {
  for (size_t i = 0; i < s->count; i++)
    if (strcmp(s->tokens[i]->name, name) == 0)
      return s->tokens[i];
  return NULL;
}

enum err token_set_add(const struct token_set *s, const struct token *token,
                       struct token_set **out) {
  if (find_name(s, token->name))
    return ERR_EXISTS;
  struct token_set *copy;
  enum err e = set_copy(s, NULL, &copy);
  if (e)
    return e;
  e = set_put(copy, token_copy(token));
  if (e)
    token_set_unref(copy);
  else
    *out = copy;
  return e;
}

enum err token_set_remove(const struct token_set *s, const char *name, struct token_set **out) {
  return find_name(s, name) ? set_copy(s, name, out) : ERR_ABSENT;
}

enum err token_make(char text[64]) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  unsigned char random[43];
  if (RAND_bytes(random, sizeof random) != 1)
    return ERR_IO;
  memcpy(text, "hr_", 3);
  for (size_t i = 0; i < sizeof random; i++)
    text[3 + i] = letters[random[i] & 63];
  text[3 + sizeof random] = '\0';
  return OK;
}

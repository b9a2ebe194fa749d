#include "lib/fleet/token.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"
#include "lib/fleet/meter.h"

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

struct token *token_free(struct token *t) {
  if (!t)
    return NULL;
  free(t->name);
  free(t->owner);
  strings_free(t->organisations);
  strings_free(t->endpoints);
  meter_unref(t->meter);
  free(t);
  return NULL;
}

static size_t text_bytes(const char *text) {
  return text ? strlen(text) + 1 : 0;
}

static size_t strings_bytes(char *const *strings) {
  size_t total = sizeof *strings;
  for (; strings && *strings; strings++)
    total += sizeof *strings + text_bytes(*strings);
  return total;
}

/* Room that is handed out from its start. */
struct cursor {
  char *at;
};

static char *put_string(struct cursor *c, const char *text) {
  size_t n = text_bytes(text);
  if (!n)
    return NULL;
  char *copy = memcpy(c->at, text, n);
  c->at += n;
  return copy;
}

static size_t strings_count(char *const *strings) {
  size_t n = 0;
  while (strings && strings[n])
    n++;
  return n;
}

/* The pointers alone: they come before all text, where they are aligned. */
static char **put_pointers(struct cursor *c, size_t count) {
  char **pointers = (char **)(void *)c->at;
  c->at += (count + 1) * sizeof *pointers;
  return pointers;
}

static void put_strings(struct cursor *c, char **to, char *const *from, size_t count) {
  for (size_t i = 0; i < count; i++)
    to[i] = put_string(c, from[i]);
  to[count] = NULL;
}

/* A copy in one piece of memory, so that a check of it touches few cache lines; given back with
 * packed_free. */
static struct token *token_pack(const struct token *t) {
  size_t organisations = strings_count(t->organisations), endpoints = strings_count(t->endpoints);
  struct token *p = malloc(sizeof *p + text_bytes(t->name) + text_bytes(t->owner) +
                           strings_bytes(t->organisations) + strings_bytes(t->endpoints));
  if (!p)
    return NULL;
  *p = *t;
  struct cursor c = {(char *)(p + 1)};
  p->organisations = put_pointers(&c, organisations);
  p->endpoints = put_pointers(&c, endpoints);
  p->owner = put_string(&c, t->owner);
  p->name = put_string(&c, t->name);
  put_strings(&c, p->organisations, t->organisations, organisations);
  put_strings(&c, p->endpoints, t->endpoints, endpoints);
  if (p->meter)
    meter_ref(p->meter);
  return p;
}

static void packed_free(struct token *t) {
  if (t)
    meter_unref(t->meter);
  free(t);
}

static struct slice hash_key(const unsigned char *hash) {
  return slice_of((const char *)hash, TOKEN_HASH_BYTES);
}

struct token_set *token_set_new(void) {
  struct token_set *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  s->refs = 1;
  map_init(&s->by_hash, TOKENS_MAX);
  return s;
}

static enum err set_room(struct token_set *s) {
  if (s->count < s->room)
    return OK;
  size_t room = s->room ? s->room * 2 : 16;
  struct token **grown = realloc(s->tokens, room * sizeof(struct token *));
  if (!grown)
    return ERR_MEMORY;
  s->tokens = grown;
  s->room = room;
  return OK;
}

static enum err set_put_copy(struct token_set *s, const struct token *t) {
  if (map_get(&s->by_hash, hash_key(t->hash)))
    return ERR_EXISTS;
  enum err e = set_room(s);
  struct token *packed = e ? NULL : token_pack(t);
  if (!packed)
    return ERR_MEMORY;
  e = map_put(&s->by_hash, hash_key(packed->hash), packed);
  if (e)
    packed_free(packed);
  else
    s->tokens[s->count++] = packed;
  return e;
}

enum err token_set_put(struct token_set *s, struct token *t) {
  enum err e = t ? set_put_copy(s, t) : ERR_MEMORY;
  token_free(t);
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
    packed_free(s->tokens[i]);
  free(s->tokens);
  map_clear(&s->by_hash);
  free(s);
  return NULL;
}

/* A token whose limits have not changed goes on counting where it was. */
static struct meter *meter_for(const struct token *t, const struct token_set *before) {
  const struct token *was = before ? map_get(&before->by_hash, hash_key(t->hash)) : NULL;
  if (was && was->meter && was->concurrency_max == t->concurrency_max &&
      was->requests_per_s == t->requests_per_s)
    return meter_ref(was->meter);
  return meter_new(t->concurrency_max, t->requests_per_s);
}

enum err token_set_meter(struct token_set *s, const struct token_set *before) {
  for (size_t i = 0; i < s->count; i++) {
    struct token *t = s->tokens[i];
    if (t->meter || (t->concurrency_max == 0 && t->requests_per_s == 0))
      continue;
    t->meter = meter_for(t, before);
    if (!t->meter)
      return ERR_MEMORY;
  }
  return OK;
}

size_t token_set_count(const struct token_set *s) {
  return s->count;
}

const struct token *token_set_at(const struct token_set *s, size_t i) {
  return s->tokens[i];
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

void token_hash_memo(struct token_memo *m, struct slice text,
                     unsigned char hash[TOKEN_HASH_BYTES]) {
  if (text.len == 0 || m->len != text.len || CRYPTO_memcmp(m->text, text.data, text.len) != 0) {
    token_hash(text, m->hash);
    m->len = text.len <= TOKEN_MEMO_BYTES ? (unsigned char)text.len : 0;
    memcpy(m->text, text.data, m->len);
  }
  memcpy(hash, m->hash, TOKEN_HASH_BYTES);
}

void token_memo_forget(struct token_memo *m) {
  OPENSSL_cleanse(m, sizeof *m);
}

const struct token *token_set_find(const struct token_set *s,
                                   const unsigned char hash[TOKEN_HASH_BYTES], int64_t now_s) {
  const struct token *t = map_get(&s->by_hash, hash_key(hash));
  return t && (t->expires_s == 0 || now_s < t->expires_s) ? t : NULL;
}

/* Without the token of that name; NULL: with all. */
static enum err set_copy(const struct token_set *s, const char *without, struct token_set **out) {
  struct token_set *copy = token_set_new();
  if (!copy)
    return ERR_MEMORY;
  for (size_t i = 0; i < s->count; i++) {
    if (without && strcmp(s->tokens[i]->name, without) == 0)
      continue;
    enum err e = set_put_copy(copy, s->tokens[i]);
    if (e) {
      token_set_unref(copy);
      return e;
    }
  }
  *out = copy;
  return OK;
}

const struct token *token_set_named(const struct token_set *s, const char *name) {
  for (size_t i = 0; i < s->count; i++)
    if (strcmp(s->tokens[i]->name, name) == 0)
      return s->tokens[i];
  return NULL;
}

enum err token_set_add(const struct token_set *s, const struct token *token,
                       struct token_set **out) {
  if (token_set_named(s, token->name))
    return ERR_EXISTS;
  struct token_set *copy;
  enum err e = set_copy(s, NULL, &copy);
  if (e)
    return e;
  e = set_put_copy(copy, token);
  if (e)
    token_set_unref(copy);
  else
    *out = copy;
  return e;
}

enum err token_set_remove(const struct token_set *s, const char *name, struct token_set **out) {
  return token_set_named(s, name) ? set_copy(s, name, out) : ERR_ABSENT;
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

/* Tokens in Redis: a hash from SHA-256 to the token, another from name to SHA-256, and
 * a version over both.
 *
 * A version lower than the one that is known means that Redis has lost what it was
 * told: who knows more puts it back. The same version may mean something else after that: over
 * a new connection they are read once more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fleet/token_text.h"
#include "lib/store/redis_store.h"

/* KEYS tokens, tokens:version. Answer: the version, and hashes and tokens in turn. */
static const char read_script[] =
    "return {tonumber(redis.call('GET', KEYS[2]) or 0), redis.call('HGETALL', KEYS[1])}\n";

/* KEYS tokens, tokens:names, tokens:version; ARGV channel, hash, name, token
 * Answer: the version, 0 when the name or the hash is taken. */
static const char add_script[] =
    "if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 or\n"
    "   redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then return 0 end\n"
    "redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])\n"
    "redis.call('HSET', KEYS[2], ARGV[3], ARGV[2])\n"
    "local v = redis.call('INCR', KEYS[3])\n"
    "redis.call('PUBLISH', ARGV[1], 'tokens')\n"
    "return v\n";

/* The same KEYS; ARGV channel, name. Answer: the version, 0 when there is none of that name. */
static const char remove_script[] = "local hash = redis.call('HGET', KEYS[2], ARGV[2])\n"
                                    "if not hash then return 0 end\n"
                                    "redis.call('HDEL', KEYS[1], hash)\n"
                                    "redis.call('HDEL', KEYS[2], ARGV[2])\n"
                                    "local v = redis.call('INCR', KEYS[3])\n"
                                    "redis.call('PUBLISH', ARGV[1], 'tokens')\n"
                                    "return v\n";

/* The same KEYS; ARGV channel, version, then hash, name, token of each. */
static const char restore_script[] =
    "if tonumber(redis.call('GET', KEYS[3]) or 0) >= tonumber(ARGV[2]) then return 0 end\n"
    "redis.call('DEL', KEYS[1], KEYS[2])\n"
    "for i = 3, #ARGV, 3 do\n"
    "  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])\n"
    "  redis.call('HSET', KEYS[2], ARGV[i + 1], ARGV[i])\n"
    "end\n"
    "redis.call('SET', KEYS[3], ARGV[2])\n"
    "redis.call('PUBLISH', ARGV[1], 'tokens')\n"
    "return 1\n";

void redis_tokens_close(struct redis_store *s) {
  s->tokens.set = token_set_unref(s->tokens.set);
}

static void token_keys(struct redis_store *s, struct args *a, const char *script) {
  args_eval(a, script, 3);
  args_key(a, s, "tokens");
  args_key(a, s, "tokens:names");
  args_key(a, s, "tokens:version");
  args_str(a, s->channel);
}

/* One that cannot be read is left out, and said. */
static struct token_set *read_set(struct redis_store *s, const struct redisReply *list) {
  struct token_set *set = token_set_new();
  for (size_t i = 1; set && i < list->elements; i += 2) {
    struct token *t;
    enum err e = token_read(reply_text(list->element[i]), &t);
    if (!e)
      e = token_set_put(set, t);
    if (e == ERR_MEMORY)
      return token_set_unref(set);
    char text[160];
    snprintf(text, sizeof text, "token %.*s in Redis cannot be read: %s",
             SLICE_ARG(reply_text(list->element[i - 1])), err_word(e));
    if (e)
      WATCH_TELL(&s->watches, problem, text);
  }
  return set;
}

static void looked(void *user, const struct redisReply *r) {
  struct redis_store *s = user;
  s->tokens.looking = false;
  if (redis_failed(s, r) || r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
      r->element[1]->type != REDIS_REPLY_ARRAY)
    return;
  int64_t version = reply_number(r->element[0]);
  if (version < s->tokens.version)
    return; /* lost; the next beat sees it, too */
  struct token_set *set = read_set(s, r->element[1]);
  if (!set)
    return;
  token_set_unref(s->tokens.set);
  s->tokens.set = set;
  s->tokens.version = version;
  s->tokens.unsure = false;
  WATCH_TELL(&s->watches, tokens, set);
}

static void restored(void *user, const struct redisReply *r) {
  struct redis_store *s = user;
  s->tokens.looking = false;
  redis_failed(s, r);
}

static void restore(struct redis_store *s) {
  struct args *a = &s->scratch;
  token_keys(s, a, restore_script);
  args_number(a, s->tokens.version);
  for (size_t i = 0; i < token_set_count(s->tokens.set); i++) {
    const struct token *t = token_set_at(s->tokens.set, i);
    char hex[TOKEN_HEX_BYTES];
    token_hex(t->hash, hex);
    args_str(a, hex);
    args_str(a, t->name);
    token_write(t, &a->text);
    args_end(a);
  }
  s->tokens.looking = redis_send(s, a, restored, s) == OK;
}

void redis_tokens_lost(struct redis_store *s) {
  s->tokens.unsure = true;
}

void redis_tokens_look(struct redis_store *s, int64_t version) {
  bool known = s->tokens.set && !s->tokens.unsure;
  if (s->tokens.looking || (known && version == s->tokens.version))
    return;
  if (version < s->tokens.version) {
    restore(s);
    return;
  }
  struct args *a = &s->scratch;
  args_eval(a, read_script, 2);
  args_key(a, s, "tokens");
  args_key(a, s, "tokens:version");
  s->tokens.looking = redis_send(s, a, looked, s) == OK;
}

struct change {
  struct redis_store *store;
  struct store_reply reply;
  enum err refused; /* what an answer of 0 means */
};

static void changed(void *user, const struct redisReply *r) {
  struct change *c = user;
  enum err e = OK;
  if (!r || r->type == REDIS_REPLY_ERROR)
    e = ERR_IO;
  else if (reply_number(r) == 0)
    e = c->refused;
  c->reply.done(c->reply.user, e);
  free(c);
}

static void send_change(struct redis_store *s, struct args *a, struct store_reply reply,
                        enum err refused) {
  struct change *c = malloc(sizeof *c);
  if (c)
    *c = (struct change){s, reply, refused};
  if (c && redis_send(s, a, changed, c) == OK)
    return;
  free(c);
  reply.done(reply.user, ERR_IO);
}

void redis_tokens_put(struct store *store, const struct token *t, struct store_reply reply) {
  struct redis_store *s = container_of(store, struct redis_store, store);
  struct args *a = &s->scratch;
  char hex[TOKEN_HEX_BYTES];
  token_hex(t->hash, hex);
  token_keys(s, a, add_script);
  args_str(a, hex);
  args_str(a, t->name);
  token_write(t, &a->text);
  args_end(a);
  if (a->failed)
    reply.done(reply.user, ERR_SYNTAX);
  else
    send_change(s, a, reply, ERR_EXISTS);
}

void redis_tokens_remove(struct store *store, const char *name, struct store_reply reply) {
  struct redis_store *s = container_of(store, struct redis_store, store);
  struct args *a = &s->scratch;
  token_keys(s, a, remove_script);
  args_str(a, name);
  send_change(s, a, reply, ERR_ABSENT);
}

/* The store of a fleet, over Redis: the beat.
 *
 * Each refresh_ms, and at once when somebody waits, one script renews what this
 * process holds (its place among the proxies, its loads' index, the lead) and says what
 * has changed: the versions of the endpoints and of the tokens. The parts then look
 * for themselves. The store is up while beats are answered. */
#include "lib/store/redis_store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fleet/token.h"

enum { URGENT_APART_US = 25 * 1000, NUMBER_BYTES = 24 };

/* KEYS proxies, loads, endpoints:version, tokens:version, leader, leader:fence
 * ARGV proxy or "", lease_ms, leader or "", channel if urgent or "", endpoints of put loads...
 * Answer: version of the endpoints, of the tokens, fence or 0, how many proxies live. */
static const char beat_script[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local till = now + tonumber(ARGV[2])\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)\n"
    "if ARGV[1] ~= '' then\n"
    "  redis.call('ZADD', KEYS[1], till, ARGV[1])\n"
    "  for i = 5, #ARGV do redis.call('ZADD', KEYS[2], till, ARGV[i] .. '/' .. ARGV[1]) end\n"
    "end\n"
    "if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], 'load') end\n"
    "local fence = 0\n"
    "if ARGV[3] ~= '' then\n"
    "  local holder = redis.call('GET', KEYS[5])\n"
    "  if not holder then\n"
    "    fence = redis.call('INCR', KEYS[6])\n"
    "    redis.call('SET', KEYS[5], ARGV[3] .. ':' .. fence, 'PX', ARGV[2])\n"
    "  else\n"
    "    local id, number = string.match(holder, '^(.*):(%d+)$')\n"
    "    if id == ARGV[3] then\n"
    "      fence = tonumber(number)\n"
    "      redis.call('PEXPIRE', KEYS[5], ARGV[2])\n"
    "    end\n"
    "  end\n"
    "end\n"
    "return {tonumber(redis.call('GET', KEYS[3]) or 0),\n"
    "  tonumber(redis.call('GET', KEYS[4]) or 0), fence, redis.call('ZCARD', KEYS[1])}\n";

/* KEYS leader, leader:fence; ARGV leader, heir or "", lease_ms, channel */
static const char follow_script[] =
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"
    "if ARGV[2] == '' then\n"
    "  redis.call('DEL', KEYS[1])\n"
    "else\n"
    "  local fence = redis.call('INCR', KEYS[2])\n"
    "  redis.call('SET', KEYS[1], ARGV[2] .. ':' .. fence, 'PX', ARGV[3])\n"
    "end\n"
    "redis.call('PUBLISH', ARGV[4], 'endpoints')\n"
    "return 1\n";

/* KEYS proxies, loads, leader; ARGV proxy, leader, prefix of loads */
static const char leave_script[] =
    "redis.call('ZREM', KEYS[1], ARGV[1])\n"
    "for _, m in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do\n"
    "  local name, proxy = string.match(m, '^([^/]*)/(.*)$')\n"
    "  if proxy == ARGV[1] then\n"
    "    redis.call('ZREM', KEYS[2], m)\n"
    "    redis.call('DEL', ARGV[3] .. '{' .. name .. '}:' .. proxy)\n"
    "  end\n"
    "end\n"
    "if redis.call('GET', KEYS[3]) == ARGV[2] then redis.call('DEL', KEYS[3]) end\n"
    "return 1\n";

void args_key(struct args *a, const struct redis_store *s, const char *format, ...) {
  char key[KEY_BYTES];
  va_list list;
  va_start(list, format);
  vsnprintf(key, sizeof key, format, list);
  va_end(list);
  buf_str(&a->text, s->settings.redis.prefix);
  args_str(a, key);
}

enum err redis_send(struct redis_store *s, struct args *a, redis_reply_fn answered, void *user) {
  struct slice *words = a->failed ? NULL : malloc((size_t)a->count * sizeof *words);
  if (!words)
    return ERR_MEMORY;
  for (int i = 0; i < a->count; i++)
    words[i] = args_at(a, i);
  enum err e = redis_link_send(s->link, a->count, words, answered, user);
  free(words);
  args_clear(a);
  return e;
}

bool redis_failed(struct redis_store *s, const struct redisReply *r) {
  if (r && r->type != REDIS_REPLY_ERROR)
    return false;
  if (r)
    redis_link_fail(s->link, r->str);
  return true;
}

struct slice reply_text(const struct redisReply *r) {
  return r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS)
             ? slice_of(r->str, r->len)
             : SLICE_NONE;
}

int64_t reply_number(const struct redisReply *r) {
  long long n = 0;
  if (r && r->type == REDIS_REPLY_INTEGER)
    return r->integer;
  return slice_decimal(reply_text(r), &n) ? n : 0;
}

void redis_leader_text(const struct redis_store *s, char *to, size_t room) {
  snprintf(to, room, "%s:%lld", s->settings.id, (long long)s->fence);
}

static void link_changed(struct redis_store *s, bool up, const char *why) {
  struct store_link *link = &s->store.link;
  if (link->up != up)
    link->since_us = loop_now(s->loop);
  link->up = up;
  snprintf(link->why, sizeof link->why, "%s", why);
  WATCH_TELL(&s->watches, link, link);
}

/* The lead is told again when the link is new or the endpoints were lost: the leader is then to
 * say again what there is. */
static void take_fence(struct redis_store *s, int64_t fence, bool anew) {
  bool changed = fence != s->fence;
  s->fence = fence;
  if (changed || (anew && fence))
    WATCH_TELL(&s->watches, lead, fence);
}

void redis_lead_take(struct redis_store *s) {
  int64_t fence = s->won;
  s->won = 0;
  if (fence)
    take_fence(s, fence, false);
}

/* Who leads is to know what there was when the lead was won: nobody else changes it from then on.
 */
static void lead_answered(struct redis_store *s, int64_t fence, int64_t endpoints, bool anew) {
  bool news = fence && fence != s->fence;
  bool known = !endpoints || (s->endpoints.known && !(news && s->endpoints.looking));
  s->won = known ? 0 : fence;
  if (known)
    take_fence(s, fence, anew);
}

static void beat_answered(void *user, const struct redisReply *r) {
  struct redis_store *s = user;
  s->beating = false;
  if (redis_failed(s, r) || s->leaving)
    return;
  if (r->type != REDIS_REPLY_ARRAY || r->elements != 4) {
    redis_link_fail(s->link, "the answer to a beat is not what it should be");
    return;
  }
  s->store.link.commands = redis_link_commands(s->link) + redis_link_commands(s->news);
  s->store.link.connections = redis_link_connections(s->link);
  s->store.link.proxies = (int)reply_number(r->element[3]);
  bool anew = s->renewed;
  s->renewed = false;
  if (!s->store.link.up)
    link_changed(s, true, "");
  int64_t endpoints = reply_number(r->element[0]), tokens = reply_number(r->element[1]);
  bool lost = endpoints < s->endpoints.version;
  if (anew) {
    redis_endpoints_lost(s);
    redis_tokens_lost(s);
  }
  redis_endpoints_look(s, endpoints);
  redis_tokens_look(s, tokens);
  if (s->leading)
    lead_answered(s, reply_number(r->element[2]), endpoints, anew || lost);
  if (anew)
    redis_loads_look(s);
  if (s->urgent)
    loop_post(s->loop, &s->beat_post);
}

static void beat_later(struct redis_store *s, usec_t at) {
  if (timer_set(s->loop, &s->beat_timer, at) != OK)
    abort(); /* the lease would run out */
}

void redis_beat(struct redis_store *s) {
  usec_t now = loop_now(s->loop);
  beat_later(s, now + s->settings.refresh_ms * USEC_PER_MS);
  if (s->beating || s->leaving)
    return;
  struct args *a = &s->scratch;
  args_eval(a, beat_script, 6);
  args_key(a, s, "proxies");
  args_key(a, s, "loads");
  args_key(a, s, "endpoints:version");
  args_key(a, s, "tokens:version");
  args_key(a, s, "leader");
  args_key(a, s, "leader:fence");
  args_str(a, s->settings.proxy ? s->settings.id : "");
  args_number(a, s->settings.lease_ms);
  args_str(a, s->leading ? s->settings.id : "");
  args_str(a, s->urgent ? s->channel : "");
  args_all(a, &s->members);
  if (redis_send(s, a, beat_answered, s) != OK)
    return;
  s->beating = true;
  s->beat_us = now;
  s->urgent = false;
  args_clear(&s->members);
  redis_shares_ask(s);
}

static void beat_due(struct timer *t) {
  redis_beat(container_of(t, struct redis_store, beat_timer));
}

/* At the end of a turn in which something was put: at once, but not too often. */
static void beat_posted(struct post *p) {
  struct redis_store *s = container_of(p, struct redis_store, beat_post);
  usec_t earliest = s->beat_us + URGENT_APART_US;
  if (s->beating)
    return; /* its answer posts again */
  if (loop_now(s->loop) < earliest)
    beat_later(s, earliest);
  else
    redis_beat(s);
}

static void link_up(void *user) {
  struct redis_store *s = user;
  s->beating = s->endpoints.looking = s->loads.looking = s->tokens.looking = false;
  s->renewed = true;
  redis_beat(s);
}

/* What was put and has not been sent is not true any more when the link is back. */
static void link_down(void *user, const char *why) {
  struct redis_store *s = user;
  args_clear(&s->members);
  args_clear(&s->quota_names);
  args_clear(&s->quota_numbers);
  if (s->store.link.up || strcmp(s->store.link.why, why) != 0)
    link_changed(s, false, why);
}

static void news_came(void *user, struct slice text) {
  struct redis_store *s = user;
  if (slice_equal(text, SLICE("load")))
    redis_loads_look(s);
  else
    redis_beat(s);
}

/* What was said while we did not listen is found by looking. */
static void news_up(void *user) {
  redis_beat(user);
}

/* Without it everything is found by looking, a little later. */
static void news_down(void *user, const char *why) {
}

static void redis_watch(struct store *store, struct store_watch *w) {
  struct redis_store *s = container_of(store, struct redis_store, store);
  list_push_back(&s->watches, &w->node);
  if (w->link)
    w->link(w->user, &s->store.link);
  redis_endpoints_tell(s, w);
  if (w->tokens && s->tokens.set)
    w->tokens(w->user, s->tokens.set);
  redis_loads_tell(s, w);
  if (w->lead && s->fence)
    w->lead(w->user, s->fence);
}

static void redis_unwatch(struct store *store, struct store_watch *w) {
  list_remove(&w->node);
}

static void redis_lead(struct store *store) {
  struct redis_store *s = container_of(store, struct redis_store, store);
  s->leading = true;
}

static void followed(void *user, const struct redisReply *r) {
}

static void redis_follow(struct store *store, const char *heir) {
  struct redis_store *s = container_of(store, struct redis_store, store);
  char leader[sizeof s->name + NUMBER_BYTES];
  redis_leader_text(s, leader, sizeof leader);
  struct args *a = &s->scratch;
  redis_endpoints_flush(s);
  args_eval(a, follow_script, 2);
  args_key(a, s, "leader");
  args_key(a, s, "leader:fence");
  args_str(a, leader);
  args_str(a, heir);
  args_number(a, s->settings.lease_ms);
  args_str(a, s->channel);
  s->leading = false;
  s->won = 0;
  enum err e = redis_send(s, a, followed, NULL);
  (void)e; /* the lease of the lead will run out */
}

struct leaving {
  struct store_reply reply;
};

static void left(void *user, const struct redisReply *r) {
  struct leaving *l = user;
  l->reply.done(l->reply.user, r && r->type != REDIS_REPLY_ERROR ? OK : ERR_IO);
  free(l);
}

static void redis_leave(struct store *store, struct store_reply reply) {
  struct redis_store *s = container_of(store, struct redis_store, store);
  struct leaving *l = malloc(sizeof *l);
  char leader[sizeof s->name + NUMBER_BYTES];
  redis_leader_text(s, leader, sizeof leader);
  struct args *a = &s->scratch;
  args_eval(a, leave_script, 3);
  args_key(a, s, "proxies");
  args_key(a, s, "loads");
  args_key(a, s, "leader");
  args_str(a, s->settings.id);
  args_str(a, leader);
  args_key(a, s, "load:");
  s->leaving = true;
  if (l) {
    l->reply = reply;
    if (redis_send(s, a, left, l) == OK)
      return;
  }
  free(l);
  reply.done(reply.user, ERR_IO); /* the leases will run out */
}

static struct store *redis_free(struct store *store) {
  struct redis_store *s = container_of(store, struct redis_store, store);
  redis_link_free(s->link);
  redis_link_free(s->news);
  timer_cancel(s->loop, &s->beat_timer);
  post_cancel(&s->beat_post);
  redis_endpoints_close(s);
  redis_loads_close(s);
  redis_tokens_close(s);
  args_free(&s->scratch);
  args_free(&s->members);
  args_free(&s->quota_names);
  args_free(&s->quota_numbers);
  free(s);
  return NULL;
}

static const struct store_ops redis_ops = {
    .free = redis_free,
    .watch = redis_watch,
    .unwatch = redis_unwatch,
    .put_endpoint = redis_endpoints_put,
    .put_load = redis_loads_put,
    .put_quota = redis_shares_put,
    .put_token = redis_tokens_put,
    .remove_token = redis_tokens_remove,
    .lead = redis_lead,
    .follow = redis_follow,
    .leave = redis_leave,
};

struct store *redis_store_new(struct loop *loop, const struct redis_store_settings *settings) {
  static const struct redis_link_events link_events = {.up = link_up, .down = link_down},
                                        news_events = {
                                            .up = news_up, .down = news_down, .message = news_came};
  struct redis_store *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  s->store =
      (struct store){.ops = &redis_ops, .link = {.since_us = loop_now(loop), .why = "connecting"}};
  s->loop = loop;
  s->settings = *settings;
  s->scratch = s->members = s->quota_names = s->quota_numbers = (struct args)ARGS_INIT;
  snprintf(s->name, sizeof s->name, "headrace-%s", settings->id);
  snprintf(s->channel, sizeof s->channel, "%snews", settings->redis.prefix);
  list_init(&s->watches);
  timer_init(&s->beat_timer, beat_due);
  post_init(&s->beat_post, beat_posted);
  redis_endpoints_open(s);
  redis_loads_open(s);
  s->link = redis_link_new(loop, &settings->redis, s->name, NULL, &link_events, s);
  s->news = redis_link_new(loop, &settings->redis, s->name, s->channel, &news_events, s);
  return s->link && s->news ? &s->store : redis_free(&s->store);
}

/* Loads in Redis: a leased record each, and a sorted set that says which there are.
 * They are looked at only while a watch wants to know of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fleet/load.h"
#include "lib/store/redis_store.h"

enum { LOOK_APART_US = 25 * 1000 };

/* KEYS loads, proxies; ARGV prefix of loads */
static const char read_script[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local names = redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')\n"
    "local values = {}\n"
    "for i = 1, #names, 500 do\n"
    "  local keys = {}\n"
    "  for j = i, math.min(i + 499, #names) do\n"
    "    local name, proxy = string.match(names[j], '^([^/]*)/(.*)$')\n"
    "    keys[#keys + 1] = ARGV[1] .. '{' .. (name or '') .. '}:' .. (proxy or '')\n"
    "  end\n"
    "  for _, v in ipairs(redis.call('MGET', unpack(keys))) do values[#values + 1] = v end\n"
    "end\n"
    "return {values, redis.call('ZRANGEBYSCORE', KEYS[2], now, '+inf')}\n";

struct known_load {
  char key[ENDPOINT_NAME_BYTES_MAX + 1 + PROXY_ID_BYTES];
  char *text; /* the same one is not read twice */
  struct load_record *record;
  unsigned round;
};

static void look_due(struct timer *t);

void redis_loads_open(struct redis_store *s) {
  map_init(&s->loads.map, STORE_ENTRIES_MAX);
  timer_init(&s->loads.timer, look_due);
}

static void known_free(struct known_load *k) {
  load_record_free(k->record);
  free(k->text);
  free(k);
}

void redis_loads_close(struct redis_store *s) {
  size_t at = 0;
  struct known_load *k;
  while ((k = map_next(&s->loads.map, &at)))
    known_free(k);
  map_clear(&s->loads.map);
  timer_cancel(s->loop, &s->loads.timer);
}

static bool wanted(const struct redis_store *s) {
  list_each (node, &s->watches)
    if (container_of(node, struct store_watch, node)->load)
      return true;
  return false;
}

void redis_loads_tell(struct redis_store *s, struct store_watch *w) {
  if (!w->load)
    return;
  size_t at = 0;
  struct known_load *k;
  while ((k = map_next(&s->loads.map, &at)))
    w->load(w->user, k->record);
  redis_loads_look(s);
}

/* Owns the record from now on. */
static void take(struct redis_store *s, struct slice text, struct load_record *r) {
  char key[sizeof((struct known_load *)0)->key];
  snprintf(key, sizeof key, "%s/%s", r->endpoint, r->proxy);
  struct known_load *k = map_get(&s->loads.map, slice_str(key));
  if (!k) {
    k = calloc(1, sizeof *k);
    if (k) {
      strcpy(k->key, key);
      if (map_put(&s->loads.map, slice_str(k->key), k)) {
        free(k);
        k = NULL;
      }
    }
  }
  if (!k) {
    load_record_free(r);
    return;
  }
  load_record_free(k->record);
  free(k->text);
  k->record = r;
  k->text = strndup(text.data, text.len);
  k->round = s->loads.round;
  WATCH_TELL(&s->watches, load, r);
}

static void forget_the_rest(struct redis_store *s) {
  size_t at = 0;
  struct known_load *k;
  while ((k = map_next(&s->loads.map, &at)))
    if (k->round != s->loads.round) {
      map_remove(&s->loads.map, slice_str(k->key));
      WATCH_TELL(&s->watches, load_gone, k->record->endpoint, k->record->proxy);
      known_free(k);
      at = 0;
    }
}

static void tell_known(struct redis_store *s, const struct redisReply *living) {
  int count = living->type == REDIS_REPLY_ARRAY ? (int)living->elements : 0;
  const char **proxies = malloc(sizeof *proxies * (size_t)(count + 1));
  for (int i = 0; proxies && i < count; i++)
    proxies[i] = reply_text(living->element[i]).data ? living->element[i]->str : "";
  if (proxies)
    WATCH_TELL(&s->watches, loads_known, proxies, count);
  free(proxies);
}

static void looked(void *user, const struct redisReply *r) {
  struct redis_store *s = user;
  s->loads.looking = false;
  if (redis_failed(s, r) || r->type != REDIS_REPLY_ARRAY || r->elements != 2)
    return;
  s->loads.round++;
  const struct redisReply *values = r->element[0];
  for (size_t i = 0; values->type == REDIS_REPLY_ARRAY && i < values->elements; i++) {
    struct slice text = reply_text(values->element[i]);
    struct load_record *record;
    if (text.len && load_record_read(text, &record) == OK)
      take(s, text, record);
  }
  forget_the_rest(s);
  tell_known(s, r->element[1]);
  if (s->loads.look_again)
    redis_loads_look(s);
}

static void look_due(struct timer *t) {
  redis_loads_look(container_of(t, struct redis_store, loads.timer));
}

static void look_at(struct redis_store *s, usec_t at) {
  if (timer_set(s->loop, &s->loads.timer, at) != OK)
    abort(); /* nobody would look any more */
}

/* At once, but not too often; and again after refresh_ms. */
void redis_loads_look(struct redis_store *s) {
  usec_t now = loop_now(s->loop);
  if (!wanted(s))
    return;
  s->loads.look_again = s->loads.looking;
  if (s->loads.looking)
    return;
  if (now - s->loads.looked_us < LOOK_APART_US) {
    look_at(s, s->loads.looked_us + LOOK_APART_US);
    return;
  }
  s->loads.looked_us = now;
  look_at(s, now + s->settings.refresh_ms * USEC_PER_MS);
  struct args *a = &s->scratch;
  args_eval(a, read_script, 2);
  args_key(a, s, "loads");
  args_key(a, s, "proxies");
  args_key(a, s, "load:");
  s->loads.looking = s->store.link.up && redis_send(s, a, looked, s) == OK;
}

static void put_answered(void *user, const struct redisReply *r) {
  redis_failed(user, r);
}

/* One write for all that are put in a turn; the beat at its end says that they are there. */
enum err redis_loads_put(struct store *store, const struct load_record *r, bool urgent) {
  struct redis_store *s = container_of(store, struct redis_store, store);
  if (!s->store.link.up || s->leaving)
    return ERR_AGAIN;
  struct args *a = &s->scratch;
  args_clear(a);
  args_str(a, "SET");
  args_key(a, s, "load:{%s}:%s", r->endpoint, r->proxy);
  load_record_write(r, &a->text);
  args_end(a);
  args_str(a, "PX");
  args_number(a, s->settings.lease_ms);
  enum err e = redis_send(s, a, put_answered, s);
  if (e)
    return e;
  args_str(&s->members, r->endpoint);
  s->urgent = s->urgent || urgent;
  loop_post(s->loop, &s->beat_post);
  return OK;
}

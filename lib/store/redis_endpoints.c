/* Endpoints in Redis: a sorted set says which changed last, two hashes hold each one.
 *
 * Changes are found by version; after a new connection, or when the versions have gone
 * back, everything is looked at once more, and what is not there any more is gone. A
 * Redis that has lost everything is not believed: what is known stays until the
 * leader has said it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fleet/endpoint.h"
#include "lib/fleet/wire.h"
#include "lib/store/redis_store.h"

enum { PAGE = 100, REASON_BYTES_MAX = 4096 };

/* KEYS endpoints; ARGV after this version, at most, prefix */
static const char read_script[] =
    "local out = {}\n"
    "local names = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES',\n"
    "  'LIMIT', 0, ARGV[2])\n"
    "for i = 1, #names, 2 do\n"
    "  out[#out + 1] = {names[i], names[i + 1],\n"
    "    redis.call('HMGET', ARGV[3] .. 'endpoint:{' .. names[i] .. '}', 'definition', 'state',\n"
    "      'reason', 'cold_start_ms', 'version'),\n"
    "    redis.call('HGETALL', ARGV[3] .. 'replicas:{' .. names[i] .. '}')}\n"
    "end\n"
    "return out\n";

/* KEYS leader, endpoints, endpoints:version, endpoint:{name}, replicas:{name}
 * ARGV leader, known version, channel, name, definition or "", state, reason, cold_start_ms,
 * version, then id and record of each replica. Answer: 0 when somebody else leads. */
static const char put_script[] =
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"
    "local v = math.max(tonumber(redis.call('GET', KEYS[3]) or 0), tonumber(ARGV[2])) + 1\n"
    "redis.call('SET', KEYS[3], v)\n"
    "redis.call('ZADD', KEYS[2], v, ARGV[4])\n"
    "redis.call('DEL', KEYS[4], KEYS[5])\n"
    "if ARGV[5] ~= '' then\n"
    "  redis.call('HSET', KEYS[4], 'definition', ARGV[5], 'state', ARGV[6], 'reason', ARGV[7],\n"
    "    'cold_start_ms', ARGV[8], 'version', ARGV[9])\n"
    "  for i = 10, #ARGV, 2 do redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 1]) end\n"
    "end\n"
    "redis.call('PUBLISH', ARGV[3], 'endpoints')\n"
    "return v\n";

struct known_endpoint {
  char name[ENDPOINT_NAME_BYTES_MAX + 1];
  char *text; /* of the definition: the same one is not read twice */
  struct endpoint_record *record;
  unsigned round;
};

struct put {
  struct list node;
  struct args args;
};

static void puts_flush(struct post *p);
static void look(struct redis_store *s);

void redis_endpoints_open(struct redis_store *s) {
  map_init(&s->endpoints.map, STORE_ENTRIES_MAX);
  list_init(&s->endpoints.puts);
  post_init(&s->endpoints.put_post, puts_flush);
}

static void known_free(struct known_endpoint *e) {
  endpoint_record_free(e->record);
  free(e->text);
  free(e);
}

static void puts_drop(struct redis_store *s) {
  struct list *node;
  while ((node = list_pop_front(&s->endpoints.puts))) {
    struct put *put = container_of(node, struct put, node);
    args_free(&put->args);
    free(put);
  }
}

void redis_endpoints_close(struct redis_store *s) {
  size_t at = 0;
  struct known_endpoint *e;
  while ((e = map_next(&s->endpoints.map, &at)))
    known_free(e);
  map_clear(&s->endpoints.map);
  puts_drop(s);
  post_cancel(&s->endpoints.put_post);
}

void redis_endpoints_tell(struct redis_store *s, struct store_watch *w) {
  size_t at = 0;
  struct known_endpoint *e;
  while (w->endpoint && (e = map_next(&s->endpoints.map, &at)))
    w->endpoint(w->user, e->record);
  if (s->endpoints.known && w->endpoints_known)
    w->endpoints_known(w->user);
}

static struct known_endpoint *known_find(struct redis_store *s, struct slice name) {
  struct known_endpoint *e = map_get(&s->endpoints.map, name);
  if (e || name.len == 0 || name.len > ENDPOINT_NAME_BYTES_MAX)
    return e;
  e = calloc(1, sizeof *e);
  if (!e)
    return NULL;
  memcpy(e->name, name.data, name.len);
  if (map_put(&s->endpoints.map, slice_str(e->name), e) == OK)
    return e;
  free(e);
  return NULL;
}

static void forget(struct redis_store *s, struct known_endpoint *e) {
  map_remove(&s->endpoints.map, slice_str(e->name));
  if (e->record)
    WATCH_TELL(&s->watches, endpoint_gone, e->name);
  known_free(e);
}

/* The definition, read unless it is the one that is known already. */
static enum err take_definition(struct redis_store *s, struct known_endpoint *e, struct slice text,
                                struct endpoint_def **def) {
  if (e->text && slice_equal(slice_str(e->text), text)) {
    *def = endpoint_def_ref(e->record->def);
    return OK;
  }
  struct buf why = BUF_INIT(REASON_BYTES_MAX);
  enum err err = endpoint_def_read(e->name, text, def, &why);
  if (err)
    WATCH_TELL(&s->watches, problem, why.data ? why.data : "a definition cannot be read");
  buf_free(&why);
  if (err)
    return err;
  free(e->text);
  e->text = strndup(text.data, text.len);
  return OK;
}

static enum err read_replicas(const struct redisReply *list, struct endpoint_record *r) {
  size_t count = list->type == REDIS_REPLY_ARRAY ? list->elements / 2 : 0;
  if (count > REPLICAS_PER_ENDPOINT_MAX)
    return ERR_SYNTAX;
  for (size_t i = 0; i < count; i++) {
    enum err err =
        replica_record_read(reply_text(list->element[2 * i]), reply_text(list->element[2 * i + 1]),
                            &r->replicas[r->replica_count]);
    if (err)
      return err;
    r->replica_count++;
  }
  return OK;
}

static bool word_copy(const struct redisReply *from, char *to, size_t room) {
  struct slice text = reply_text(from);
  snprintf(to, room, "%.*s", SLICE_ARG(text));
  return text.data != NULL;
}

/* fields: definition, state, reason, cold_start_ms, version */
static enum err read_record(struct redis_store *s, struct known_endpoint *e,
                            struct redisReply *const *fields, const struct redisReply *replicas) {
  static struct replica_record room[REPLICAS_PER_ENDPOINT_MAX]; /* main thread only */
  struct endpoint_record r = {.replicas = room,
                              .cold_start_ms = reply_number(fields[3]),
                              .version = reply_number(fields[4])};
  char state[32];
  if (!word_copy(fields[1], state, sizeof state) || !endpoint_state_find(state, &r.state))
    return ERR_SYNTAX;
  word_copy(fields[2], r.reason, sizeof r.reason);
  enum err err = read_replicas(replicas, &r);
  if (!err)
    err = take_definition(s, e, reply_text(fields[0]), &r.def);
  if (err)
    return err;
  struct endpoint_record *copy = endpoint_record_copy(&r);
  endpoint_def_unref(r.def);
  if (!copy)
    return ERR_MEMORY;
  endpoint_record_free(e->record);
  e->record = copy;
  return OK;
}

/* Answers whose shape is not that of the script are not looked into. */
static bool is_entry(const struct redisReply *r) {
  return r->type == REDIS_REPLY_ARRAY && r->elements == 4 &&
         r->element[2]->type == REDIS_REPLY_ARRAY && r->element[2]->elements == 5 &&
         r->element[3]->type == REDIS_REPLY_ARRAY && reply_text(r->element[0]).len;
}

static void take_entry(struct redis_store *s, const struct redisReply *entry) {
  struct redisReply *const *fields = entry->element[2]->element;
  struct known_endpoint *e = known_find(s, reply_text(entry->element[0]));
  if (!e)
    return;
  e->round = s->endpoints.round;
  if (!reply_text(fields[0]).len) {
    forget(s, e);
    return;
  }
  enum err err = read_record(s, e, fields, entry->element[3]);
  if (!err)
    WATCH_TELL(&s->watches, endpoint, e->record);
  else if (!e->record)
    forget(s, e);
}

static void forget_the_rest(struct redis_store *s) {
  size_t at = 0;
  struct known_endpoint *e;
  while ((e = map_next(&s->endpoints.map, &at)))
    if (e->round != s->endpoints.round) {
      forget(s, e);
      at = 0;
    }
}

static void looked(void *user, const struct redisReply *r) {
  struct redis_store *s = user;
  struct known_endpoints *k = &s->endpoints;
  k->looking = false;
  if (redis_failed(s, r) || r->type != REDIS_REPLY_ARRAY)
    return;
  for (size_t i = 0; i < r->elements; i++)
    if (is_entry(r->element[i])) {
      take_entry(s, r->element[i]);
      k->version = reply_number(r->element[i]->element[1]);
    }
  if (k->version > k->highest)
    k->highest = k->version;
  if (r->elements == PAGE || k->look_again) {
    look(s);
    return;
  }
  if (k->looking_at_all)
    forget_the_rest(s);
  k->looking_at_all = false;
  k->known = true;
  WATCH_TELL(&s->watches, endpoints_known);
  redis_lead_take(s);
}

static void look(struct redis_store *s) {
  struct known_endpoints *k = &s->endpoints;
  k->look_again = false;
  struct args *a = &s->scratch;
  args_eval(a, read_script, 1);
  args_key(a, s, "endpoints");
  args_number(a, k->version);
  args_number(a, PAGE);
  args_str(a, s->settings.redis.prefix);
  k->looking = redis_send(s, a, looked, s) == OK;
}

void redis_endpoints_lost(struct redis_store *s) {
  s->endpoints.whole = true;
  s->endpoints.looking_at_all = false;
}

void redis_endpoints_look(struct redis_store *s, int64_t version) {
  struct known_endpoints *k = &s->endpoints;
  if (version < k->version)
    k->whole = true;
  if (version == 0)
    return;
  if (version == k->version && !k->whole)
    return;
  if (k->looking) {
    k->look_again = true;
    return;
  }
  if (k->whole) {
    k->whole = false;
    k->looking_at_all = true;
    k->round++;
    k->version = 0;
  }
  look(s);
}

static void put_answered(void *user, const struct redisReply *r) {
  struct redis_store *s = user;
  if (!redis_failed(s, r))
    loop_post(s->loop, &s->beat_post); /* who leads, and what came of it */
}

/* More than one are put together, so that nobody sees half a fleet. */
static void puts_flush(struct post *p) {
  struct redis_store *s = container_of(p, struct redis_store, endpoints.put_post);
  bool many = s->endpoints.puts.next->next != &s->endpoints.puts;
  struct args *a = &s->scratch;
  enum err err = OK;
  args_clear(a);
  args_str(a, "MULTI");
  if (many)
    err = redis_send(s, a, NULL, NULL);
  list_each (node, &s->endpoints.puts) {
    struct put *put = container_of(node, struct put, node);
    if (!err)
      err = redis_send(s, &put->args, many ? NULL : put_answered, s);
  }
  args_clear(a);
  args_str(a, "EXEC");
  if (many && !err)
    err = redis_send(s, a, put_answered, s);
  puts_drop(s);
  if (err && err != ERR_AGAIN)
    redis_link_fail(s->link, "out of memory while endpoints were put");
}

void redis_endpoints_flush(struct redis_store *s) {
  post_cancel(&s->endpoints.put_post);
  puts_flush(&s->endpoints.put_post);
}

static void put_record(struct args *a, const struct endpoint_record *r) {
  endpoint_def_write(r->def, &a->text);
  args_end(a);
  args_str(a, endpoint_state_word(r->state));
  args_str(a, r->reason);
  args_number(a, r->cold_start_ms);
  args_number(a, r->version);
  for (int i = 0; i < r->replica_count; i++) {
    args_str(a, r->replicas[i].id);
    replica_record_write(&r->replicas[i], &a->text);
    args_end(a);
  }
}

enum err redis_endpoints_put(struct store *store, const char *name,
                             const struct endpoint_record *r) {
  struct redis_store *s = container_of(store, struct redis_store, store);
  if (!s->store.link.up || !s->fence)
    return ERR_AGAIN;
  struct put *put = calloc(1, sizeof *put);
  if (!put)
    return ERR_MEMORY;
  put->args = (struct args)ARGS_INIT;
  struct args *a = &put->args;
  char leader[sizeof s->name + 24];
  redis_leader_text(s, leader, sizeof leader);
  args_eval(a, put_script, 5);
  args_key(a, s, "leader");
  args_key(a, s, "endpoints");
  args_key(a, s, "endpoints:version");
  args_key(a, s, "endpoint:{%s}", name);
  args_key(a, s, "replicas:{%s}", name);
  args_str(a, leader);
  args_number(a, s->endpoints.highest);
  args_str(a, s->channel);
  args_str(a, name);
  if (r)
    put_record(a, r);
  else
    args_str(a, "");
  list_push_back(&s->endpoints.puts, &put->node);
  loop_post(s->loop, &s->endpoints.put_post);
  return OK;
}

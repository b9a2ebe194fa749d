/* The inside of the Redis store, shared by lib/store/redis*.c only. Each part keeps
 * what it knows, and looks again when the beat says that something has changed. */
#pragma once

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/map.h"
#include "lib/net/loop.h"
#include "lib/store/args.h"
#include "lib/store/redis.h"
#include "lib/store/store.h"
#include "lib/store/watches.h"

enum {
  KEY_BYTES = 512,
  STORE_ENTRIES_MAX = 1000000,
};

/* What is known of the endpoints; see redis_endpoints.c. */
struct known_endpoints {
  struct map map;
  int64_t version; /* up to which all is known; 0: nothing is */
  int64_t highest; /* ever seen: versions go on from it */
  unsigned round;  /* of looking at all of them */
  bool looking, look_again, known;
  bool whole;          /* all of them are to be looked at */
  bool looking_at_all; /* and are */
  struct list puts;    /* to go out together at the end of this turn */
  struct post put_post;
};

struct known_loads {
  struct map map;
  unsigned round;
  bool looking, look_again;
  usec_t looked_us;
  struct timer timer;
};

struct known_tokens {
  struct token_set *set; /* NULL: not read yet */
  int64_t version;
  bool looking;
  bool unsure; /* whether that version still means the same */
};

struct redis_store {
  struct store store;
  struct loop *loop;
  struct redis_store_settings settings;
  struct redis_link *link, *news;
  char name[128], channel[KEY_BYTES];
  struct list watches;
  /* the beat */
  struct timer beat_timer;
  struct post beat_post;
  bool beating, urgent, leading, leaving;
  usec_t beat_us;                         /* when the last one went out */
  struct args scratch;                    /* the command being put together */
  struct args members;                    /* endpoints whose load was put since */
  int64_t fence;                          /* 0: not the leader */
  int64_t won;                            /* the same, until what there was is known */
  bool renewed;                           /* the link is new: what was told before may be stale */
  struct args quota_names, quota_numbers; /* asked for since */
  struct known_endpoints endpoints;
  struct known_loads loads;
  struct known_tokens tokens;
};

/* prefix + what the format says */
void args_key(struct args *a, const struct redis_store *s, const char *format, ...) PRINTF(3, 4);
/* Sends it and empties it. */
enum err redis_send(struct redis_store *s, struct args *a, redis_reply_fn answered,
                    void *user) MUST_CHECK;
/* The answer was an error, or none came: the link is given up. True when it was. */
bool redis_failed(struct redis_store *s, const struct redisReply *r);
struct slice reply_text(const struct redisReply *r);
int64_t reply_number(const struct redisReply *r);
/* Who holds the lead, as it stands under the key: "<id>:<fence>". */
void redis_leader_text(const struct redis_store *s, char *to, size_t room);

void redis_beat(struct redis_store *s);
/* What there was when the lead was won is known now. */
void redis_lead_take(struct redis_store *s);

/* The parts. `version` is what the beat found; 0: nothing is there. */
void redis_endpoints_open(struct redis_store *s);
void redis_endpoints_close(struct redis_store *s);
void redis_endpoints_look(struct redis_store *s, int64_t version);
void redis_endpoints_tell(struct redis_store *s, struct store_watch *w);
void redis_endpoints_lost(struct redis_store *s);
/* What was put goes out now. */
void redis_endpoints_flush(struct redis_store *s);
enum err redis_endpoints_put(struct store *store, const char *name,
                             const struct endpoint_record *r);

void redis_loads_open(struct redis_store *s);
void redis_loads_close(struct redis_store *s);
void redis_loads_look(struct redis_store *s);
void redis_loads_tell(struct redis_store *s, struct store_watch *w);
enum err redis_loads_put(struct store *store, const struct load_record *r, bool urgent);

void redis_shares_ask(struct redis_store *s);
enum err redis_shares_put(struct store *store, const struct store_quota *q);

void redis_tokens_close(struct redis_store *s);
void redis_tokens_lost(struct redis_store *s);
void redis_tokens_look(struct redis_store *s, int64_t version);
void redis_tokens_put(struct store *store, const struct token *t, struct store_reply reply);
void redis_tokens_remove(struct store *store, const char *name, struct store_reply reply);

/* Shares of limits that hold for the whole fleet, given out by Redis itself: since it
 * runs one script at a time, the shares never add up to more than the limit.
 *
 * Each proxy says what it holds and wants. What all want is given out evenly, smaller
 * wishes first; nobody is given what another still holds: who is to hold less is told so, and
 * it counts when he says that he does. Whole numbers that do not divide go round, two
 * seconds each. A share that is not asked for again ends with its lease. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/store/redis_store.h"

/* Who asks counts on an answer. */
#define NO_ANSWER "out of memory while shares were asked for"

/* KEYS one for each quota; ARGV proxy, lease_ms, then for each: limit, held, want, whole
 * Answer: how much of each. */
static const char shares_script[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local me, lease, out = ARGV[1], tonumber(ARGV[2]), {}\n"
    "for i, key in ipairs(KEYS) do\n"
    "  local b = 3 + (i - 1) * 4\n"
    "  local limit, held, want = tonumber(ARGV[b]), tonumber(ARGV[b + 1]), tonumber(ARGV[b + 2])\n"
    "  local whole = ARGV[b + 3] == '1'\n"
    "  local all, ids, wants, taken = redis.call('HGETALL', key), {}, {}, 0\n"
    "  for j = 1, #all, 2 do\n"
    "    local has, wish, till = string.match(all[j + 1], '^(%S+) (%S+) (%S+)$')\n"
    "    has, wish, till = tonumber(has), tonumber(wish), tonumber(till)\n"
    "    if all[j] == me then\n"
    "    elseif not (has and wish and till) or till < now then redis.call('HDEL', key, all[j])\n"
    "    else ids[#ids + 1], wants[all[j]], taken = all[j], wish, taken + has\n"
    "    end\n"
    "  end\n"
    "  local share = 0\n"
    "  if want > 0 then\n"
    "    ids[#ids + 1], wants[me] = me, want\n"
    "    table.sort(ids, function(x, y)\n"
    "      return wants[x] < wants[y] or (wants[x] == wants[y] and x < y)\n"
    "    end)\n"
    "    local left, n, parts = limit, #ids, {}\n"
    "    for j, id in ipairs(ids) do\n"
    "      parts[id] = math.min(wants[id], left / (n - j + 1))\n"
    "      left = left - parts[id]\n"
    "    end\n"
    "    share = parts[me] + left / n\n"
    "    if whole then\n"
    "      local rest = limit\n"
    "      for _, id in ipairs(ids) do\n"
    "        parts[id] = math.floor(parts[id] + left / n)\n"
    "        rest = rest - parts[id]\n"
    "      end\n"
    "      table.sort(ids)\n"
    "      share = parts[me]\n"
    "      for j, id in ipairs(ids) do\n"
    "        if id == me and (j - 1 + math.floor(now / 2000)) % n < rest then share = share + 1 "
    "end\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "  share = math.max(0, math.min(share, limit - taken))\n"
    "  local has = math.max(held, share)\n"
    "  if has > 0 or want > 0 then\n"
    "    redis.call('HSET', key, me, has .. ' ' .. want .. ' ' .. (now + lease))\n"
    "    redis.call('PEXPIRE', key, 2 * lease)\n"
    "  else\n"
    "    redis.call('HDEL', key, me)\n"
    "  end\n"
    "  out[i] = tostring(share)\n"
    "end\n"
    "return out\n";

enum err redis_shares_put(struct store *store, const struct store_quota *q) {
  struct redis_store *s = container_of(store, struct redis_store, store);
  if (!s->store.link.up || s->leaving)
    return ERR_AGAIN;
  args_str(&s->quota_names, q->name);
  args_real(&s->quota_numbers, q->limit);
  args_real(&s->quota_numbers, q->held);
  args_real(&s->quota_numbers, q->want);
  args_number(&s->quota_numbers, q->whole);
  loop_post(s->loop, &s->beat_post);
  return OK;
}

struct asked {
  struct redis_store *store;
  struct args names;
};

static void asked_free(struct asked *asked) {
  args_free(&asked->names);
  free(asked);
}

static void answered(void *user, const struct redisReply *r) {
  struct asked *asked = user;
  struct redis_store *s = asked->store;
  bool good = !redis_failed(s, r) && r->type == REDIS_REPLY_ARRAY &&
              r->elements == (size_t)asked->names.count;
  for (int i = 0; good && i < asked->names.count; i++) {
    char name[QUOTA_NAME_BYTES];
    snprintf(name, sizeof name, "%.*s", SLICE_ARG(args_at(&asked->names, i)));
    const char *text = reply_text(r->element[i]).data;
    WATCH_TELL(&s->watches, quota, name, text ? strtod(text, NULL) : 0);
  }
  asked_free(asked);
}

void redis_shares_ask(struct redis_store *s) {
  struct args *a = &s->scratch;
  if (!s->quota_names.count)
    return;
  struct asked *asked = malloc(sizeof *asked);
  if (!asked) {
    redis_link_fail(s->link, NO_ANSWER);
    return;
  }
  *asked = (struct asked){s, s->quota_names};
  s->quota_names = (struct args)ARGS_INIT;
  args_eval(a, shares_script, asked->names.count);
  for (int i = 0; i < asked->names.count; i++)
    args_key(a, s, "quota:%.*s", SLICE_ARG(args_at(&asked->names, i)));
  args_str(a, s->settings.id);
  args_number(a, s->settings.lease_ms);
  args_all(a, &s->quota_numbers);
  args_clear(&s->quota_numbers);
  if (redis_send(s, a, answered, asked) == OK)
    return;
  asked_free(asked);
  redis_link_fail(s->link, NO_ANSWER);
}

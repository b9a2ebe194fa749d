#include "scheduler/loads.h"

#include <stdlib.h>
#include <string.h>

#include "lib/fleet/load.h"
#include "scheduler/policy.h"

struct load_seen {
  char proxy[PROXY_ID_BYTES];
  struct load_record *record; /* NULL: silent */
  int64_t incarnation, pending_us, requests_total;
};

void loads_init(struct loads *l, int64_t since_ms) {
  *l = (struct loads){.since_ms = since_ms};
}

void loads_free(struct loads *l) {
  for (int i = 0; i < l->count; i++)
    load_record_free(l->seen[i].record);
  free(l->seen);
  l->seen = NULL;
  l->count = l->room = 0;
}

static struct load_seen *find(const struct loads *l, const char *proxy) {
  for (int i = 0; i < l->count; i++)
    if (strcmp(l->seen[i].proxy, proxy) == 0)
      return &l->seen[i];
  return NULL;
}

static struct load_seen *find_silent(const struct loads *l) {
  for (int i = 0; i < l->count; i++)
    if (!l->seen[i].record)
      return &l->seen[i];
  return NULL;
}

/* A new place; when there are too many, that of one that is silent. */
static struct load_seen *add(struct loads *l, const char *proxy) {
  struct load_seen *s = NULL;
  if (l->count == l->room && l->room < LOAD_PROXIES_MAX) {
    int room = l->room ? l->room * 2 : 4;
    struct load_seen *grown = realloc(l->seen, (size_t)room * sizeof *grown);
    if (grown) {
      l->seen = grown;
      l->room = room;
    }
  }
  s = l->count < l->room ? &l->seen[l->count++] : find_silent(l);
  if (s) {
    *s = (struct load_seen){0};
    strcpy(s->proxy, proxy);
  }
  return s;
}

static int64_t growth(int64_t now, int64_t before) {
  return now > before ? now - before : 0;
}

/* Of a proxy that we have never heard of: all it has done, when it is younger than we are. */
static void count_growth(struct loads *l, struct load_seen *s, const struct load_record *r) {
  if (s->incarnation != r->incarnation) {
    bool young = r->incarnation >= l->since_ms;
    s->incarnation = r->incarnation;
    s->pending_us = young ? 0 : r->pending_us;
    s->requests_total = young ? 0 : r->requests_before;
  }
  l->pending_us += growth(r->pending_us, s->pending_us);
  l->requests_total += growth(r->requests_total, s->requests_total);
  s->pending_us = r->pending_us;
  s->requests_total = r->requests_total;
}

enum err loads_put(struct loads *l, const struct load_record *r) {
  struct load_seen *s = find(l, r->proxy);
  struct load_record *copy = load_record_copy(r);
  if (!s)
    s = add(l, r->proxy);
  if (!s || !copy) {
    load_record_free(copy);
    return s ? ERR_MEMORY : ERR_LIMIT;
  }
  count_growth(l, s, r);
  load_record_free(s->record);
  s->record = copy;
  return OK;
}

void loads_gone(struct loads *l, const char *proxy) {
  struct load_seen *s = find(l, proxy);
  if (s)
    s->record = load_record_free(s->record);
}

void loads_sum(const struct loads *l, struct policy_sample *s) {
  s->pending_us = l->pending_us;
  s->requests_total = l->requests_total;
  for (int i = 0; i < l->count; i++) {
    const struct load_record *r = l->seen[i].record;
    if (!r)
      continue;
    s->pending += r->pending;
    s->open += r->open;
    s->wanted = s->wanted || r->wanted_ms;
  }
}

static int64_t active_of(const struct load_record *r, const char *replica) {
  for (int i = 0; r && i < r->replica_count; i++)
    if (strcmp(r->replicas[i].id, replica) == 0)
      return r->replicas[i].active;
  return 0;
}

int64_t loads_active(const struct loads *l, const char *replica) {
  int64_t n = 0;
  for (int i = 0; i < l->count; i++)
    n += active_of(l->seen[i].record, replica);
  return n;
}

bool loads_left(const struct loads *l, const char *replica, int64_t version,
                const char *const *proxies, int count) {
  for (int i = 0; i < count; i++) {
    const struct load_seen *s = find(l, proxies[i]);
    if (!s || !s->record || s->record->seen < version || active_of(s->record, replica))
      return false;
  }
  return loads_active(l, replica) == 0;
}

#include "proxy/shares.h"

#include <stdio.h>
#include <string.h>

#include "lib/fleet/endpoint.h"
#include "lib/fleet/meter.h"
#include "lib/fleet/token.h"
#include "lib/fleet/token_text.h"
#include "lib/store/store.h"
#include "proxy/request/hold_queue.h"
#include "proxy/request/shared.h"

/* More than is asked for at the moment, so that a burst need not wait for the next look. */
static const double RATE_HEADROOM = 1.5;

void shares_name(const struct endpoint_shared *e, const struct replica_shared *r, char *to,
                 size_t room) {
  snprintf(to, room, "places:%s/%s", e->name, r->id);
}

static double least(double a, double b) {
  return a < b ? a : b;
}

/* Once more with nothing wanted, to give back, when it is not used any more. Not before the last
 * answer is here: what it gives would be missing from what we say we hold, and others would be
 * given it, too. */
static void ask_for_places(struct store *s, const struct endpoint_shared *e,
                           struct replica_shared *r, int64_t waiting) {
  r->ask_again = r->asking;
  if (r->asking)
    return;
  int64_t used = atomic_load(&r->reserved);
  if (used + waiting == 0 && r->asked)
    atomic_store(&r->room, 0); /* before it is said, so that nobody takes one meanwhile */
  int64_t room = atomic_load(&r->room);
  used = atomic_load(&r->reserved);
  struct store_quota q = {.limit = (double)r->concurrency_max,
                          .held = (double)(room > used ? room : used),
                          .want = least((double)(used + waiting), (double)r->concurrency_max),
                          .whole = true};
  shares_name(e, r, q.name, sizeof q.name);
  r->asking = (q.want > 0 || r->asked) && store_put_quota(s, &q) == OK;
  r->asked = q.want > 0;
}

void shares_of_replicas(struct store *s, const struct endpoint_shared *e,
                        const struct endpoint_record *record,
                        struct replica_shared *const *replicas) {
  int ready = 0;
  for (int i = 0; i < record->replica_count; i++)
    ready += record->replicas[i].state == REPLICA_READY;
  int64_t waiting = (int64_t)hold_queue_count(e->hold);
  for (int i = 0; i < record->replica_count; i++)
    if (replicas[i]->concurrency_max)
      ask_for_places(s, e, replicas[i],
                     record->replicas[i].state == REPLICA_READY ? (waiting + ready - 1) / ready
                                                                : 0);
}

bool shares_give_places(struct replica_shared *r, double allowed) {
  atomic_store(&r->room, (int64_t)allowed);
  r->asking = false;
  return r->ask_again;
}

void shares_alone(struct replica_shared *r, int proxies) {
  r->asking = false;
  int64_t share = r->concurrency_max / (proxies > 1 ? proxies : 1);
  atomic_store(&r->room, share > 1 ? share : 1);
}

static void even_share(struct meter *m, int proxies) {
  if (proxies < 1)
    proxies = 1;
  int64_t active = m->concurrency_max / proxies;
  meter_allow_concurrency(m, active > 1 ? active : 1);
  meter_allow_rate(m, m->requests_per_s / proxies);
}

void shares_alone_tokens(const struct token_set *tokens, int proxies) {
  for (size_t i = 0; tokens && i < token_set_count(tokens); i++) {
    struct meter *m = token_set_at(tokens, i)->meter;
    if (!m)
      continue;
    m->asking = 0;
    even_share(m, proxies);
  }
}

/* What is in use keeps its share, and the answers on their way are still to come. */
void shares_new_tokens(const struct token_set *tokens, int proxies) {
  for (size_t i = 0; i < token_set_count(tokens); i++) {
    struct meter *m = token_set_at(tokens, i)->meter;
    if (m && !m->sharing)
      even_share(m, proxies);
  }
}

static void ask(struct store *s, const struct token *t, const char *what, struct store_quota q) {
  char hex[TOKEN_HEX_BYTES];
  token_hex(t->hash, hex);
  snprintf(q.name, sizeof q.name, "%s:%s", what, hex);
  if (q.limit > 0 && store_put_quota(s, &q) == OK)
    t->meter->asking++;
}

static void ask_for_token(struct store *s, const struct token *t, usec_t apart) {
  struct meter *m = t->meter;
  int64_t asked = atomic_load(&m->asked), refused = atomic_load(&m->refused);
  int64_t active = atomic_load(&m->active);
  double rate = (double)(asked - m->asked_before) * USEC_PER_S / (double)apart;
  double more = (double)(refused - m->refused_before);
  m->asked_before = asked;
  m->refused_before = refused;
  bool used = rate > 0 || active > 0;
  if ((!used && !m->sharing) || m->asking) /* see ask_for_places */
    return;
  ask(s, t, "active",
      (struct store_quota){.limit = (double)t->concurrency_max,
                           .held = used ? (double)atomic_load(&m->active_allowed) : 0,
                           .want = least((double)active + more, (double)t->concurrency_max),
                           .whole = true});
  ask(s, t, "rate",
      (struct store_quota){.limit = t->requests_per_s,
                           .held = used ? m->rate_allowed : 0,
                           .want = least(rate * RATE_HEADROOM, t->requests_per_s)});
  m->sharing = used;
  if (!used)
    even_share(m, s->link.proxies); /* where the next ones begin */
}

void shares_of_tokens(struct store *s, struct token_set *tokens, usec_t apart) {
  for (size_t i = 0; tokens && i < token_set_count(tokens); i++)
    if (token_set_at(tokens, i)->meter)
      ask_for_token(s, token_set_at(tokens, i), apart);
}

static const struct token *token_of(const struct token_set *tokens, const char *hex) {
  unsigned char hash[TOKEN_HASH_BYTES];
  return token_unhex(hex, hash) ? token_set_find(tokens, hash, 0) : NULL;
}

bool shares_give_token(const struct token_set *tokens, const char *name, double allowed) {
  bool active = strncmp(name, "active:", 7) == 0, rate = strncmp(name, "rate:", 5) == 0;
  const struct token *t =
      tokens && (active || rate) ? token_of(tokens, strchr(name, ':') + 1) : NULL;
  if (!t || !t->meter)
    return active || rate;
  t->meter->asking--;
  if (!t->meter->sharing)
    return true;
  if (active)
    meter_allow_concurrency(t->meter, (int64_t)allowed);
  else
    meter_allow_rate(t->meter, allowed);
  return true;
}

/* Who asks, and may they: bearer tokens (RFC 6750), CORS preflights. */
#include <assert.h>

#include "lib/base/allowance.h"
#include "lib/base/recent.h"
#include "lib/fleet/meter.h"
#include "lib/fleet/token.h"
#include "lib/net/address.h"
#include "proxy/config/config.h"
#include "proxy/request/answer.h"
#include "proxy/request/fleet.h"
#include "proxy/request/peer.h"
#include "proxy/request/worker.h"
#include "proxy/steps/access.h"
#include "proxy/steps/rules.h"
#include "proxy/steps/steps.h"

static struct slice bearer(const struct http_head *h) {
  struct slice value = http_head_value(h, HTTP_AUTHORIZATION);
  struct slice scheme = SLICE("bearer ");
  if (value.len <= scheme.len || !slice_equal_nocase(slice_of(value.data, scheme.len), scheme))
    return SLICE_NONE;
  return slice_trim(slice_skip(value, scheme.len));
}

static bool lists(char *const *words, const char *word) {
  for (; word && words && *words; words++)
    if (strcmp(*words, word) == 0)
      return true;
  return false;
}

static bool may_reach(const struct token *t, const struct endpoint_def *def) {
  if (t->endpoints && t->endpoints[0] && !lists(t->endpoints, def->name))
    return false;
  if (def->access != ACCESS_PRIVATE)
    return true;
  if (def->owner && t->owner && strcmp(def->owner, t->owner) == 0)
    return true;
  for (char **o = t->organisations; o && *o; o++)
    if (lists(def->organisations, *o))
      return true;
  return false;
}

/* This key has failed once more; how long it must wait if that was too often. Behind a mutex: only
 * who has failed comes here. */
static usec_t note_failure(struct request *r, const unsigned char *key, size_t key_bytes) {
  const struct config *c = r->worker->config;
  struct recent *failures = r->worker->process->auth_failures;
  int64_t *full_at = recent_lock(failures, slice_of((const char *)key, key_bytes));
  struct allowance left = {*full_at};
  usec_t wait = allowance_draw(&left, loop_now(r->worker->loop), c->auth_failures_burst,
                               c->auth_failures_per_s);
  *full_at = left.full_at;
  recent_unlock(failures);
  return wait;
}

/* How long the client must wait, whose address or token has failed too often. */
static usec_t failed_too_often(struct request *r) {
  unsigned char network[ADDRESS_KEY_BYTES];
  struct sockaddr_storage client;
  usec_t address_wait = 0, token_wait = 0;
  if (r->worker->config->auth_failures_burst == 0)
    return 0;
  if (peer_client(r, &client) == OK && peer_counts(r->worker, &client)) {
    address_network_key((const struct sockaddr *)&client, network);
    address_wait = note_failure(r, network, sizeof network);
  }
  if (r->has_token)
    token_wait = note_failure(r, r->token_hash, sizeof r->token_hash);
  return token_wait > address_wait ? token_wait : address_wait;
}

static enum step_result unauthorized(struct request *r, enum failure_kind kind) {
  usec_t wait = failed_too_often(r);
  if (wait)
    return request_fail_later(r, FAIL_TOO_MANY_FAILURES, wait);
  return request_fail(r, kind);
}

static enum step_result token_check(struct request *r) {
  const struct endpoint_def *def = r->endpoint->def;
  if (def->access == ACCESS_PUBLIC)
    return STEP_NEXT;
  if (!r->has_token)
    return unauthorized(r, FAIL_NO_TOKEN);
  if (!r->worker->tokens)
    return request_fail(r, FAIL_STARTING_TOKENS);
  const struct token *t =
      token_set_find(r->worker->tokens, r->token_hash, clock_wall() / USEC_PER_S);
  if (!t)
    return unauthorized(r, FAIL_UNKNOWN_TOKEN);
  if (!r->token_name.data)
    r->token_name = arena_copy(&r->arena, slice_str(t->name));
  if (may_reach(t, def)) {
    if (t->meter && !r->meter)
      r->meter = meter_ref(t->meter);
    return STEP_NEXT;
  }
  return request_fail(r, FAIL_TOKEN_DENIED);
}

enum step_result access_check(struct request *r) {
  if (r->endpoint->ruled && rules_check(r) != STEP_NEXT)
    return STEP_FAIL;
  return token_check(r);
}

static struct slice listed(struct request *r, char *const *words, struct slice otherwise) {
  return words && words[0] ? request_list(r, words) : otherwise;
}

/* A preflight never carries a token (Fetch, 3.2.2). */
static bool is_preflight(const struct request *r) {
  return r->endpoint->def->cors.enabled && r->head.method == HTTP_OPTIONS &&
         http_head_get(&r->head, HTTP_ORIGIN) &&
         http_head_get(&r->head, HTTP_ACCESS_CONTROL_REQUEST_METHOD);
}

static enum step_result answer_preflight(struct request *r) {
  const struct endpoint_cors *cors = &r->endpoint->def->cors;
  struct slice asked = http_head_value(&r->head, HTTP_ACCESS_CONTROL_REQUEST_HEADERS);
  struct http_field fields[ANSWER_FIELDS_MAX];
  struct http_head h;
  http_head_init(&h, fields, ANSWER_FIELDS_MAX);
  h.status = r->status = 204;
  h.framing = HTTP_NO_BODY;
  h.content_length = -1;
  enum err e = answer_cors_fields(r, &h);
  if (!e)
    e = http_head_add(&h, SLICE("access-control-allow-methods"),
                      listed(r, cors->methods, SLICE("GET, POST, OPTIONS")));
  if (!e && (asked.len || cors->headers))
    e = http_head_add(&h, SLICE("access-control-allow-headers"), listed(r, cors->headers, asked));
  if (!e && cors->max_age_s)
    e = http_head_add(&h, SLICE("access-control-max-age"),
                      slice_str(request_text(r, "%lld", (long long)cors->max_age_s)));
  if (!e && r->id.len)
    e = http_head_add(&h, SLICE("x-request-id"), r->id);
  r->response_started = true;
  r->ending = END_OWN_ANSWER;
  assert(!e); /* there is room for all of them */
  (void)e;
  r->client_ops->answer(r, &h, SLICE_NONE);
  return STEP_DONE;
}

enum step_result step_authenticate(struct request *r) {
  if (is_preflight(r))
    return r->endpoint->ruled && rules_check(r) != STEP_NEXT ? STEP_FAIL : answer_preflight(r);
  struct slice text = bearer(&r->head);
  if (text.len && text.len <= TOKEN_TEXT_BYTES_MAX) {
    token_hash_memo(r->token_memo, text, r->token_hash);
    r->has_token = true;
  }
  if (!r->endpoint->def->pass_token)
    http_head_forget(&r->head, HTTP_AUTHORIZATION);
  return access_check(r);
}

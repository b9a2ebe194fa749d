#include "proxy/replica/forward.h"

#include <string.h>

#include "proxy/config/config.h"
#include "proxy/request/fleet.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

/* Ours to say, not the client's, unless it is a peer we trust. */
static bool forwarding(enum http_name id) {
  return id == HTTP_FORWARDED || id == HTTP_X_FORWARDED_FOR || id == HTTP_X_FORWARDED_HOST ||
         id == HTTP_X_FORWARDED_PORT || id == HTTP_X_FORWARDED_PROTO || id == HTTP_X_REAL_IP;
}

static bool is_forwarded(struct slice name) {
  static const struct slice prefix = SLICE("x-forwarded-");
  return name.len > prefix.len && slice_equal_nocase(slice_of(name.data, prefix.len), prefix);
}

bool forward_goes_on(const struct request *r, const struct http_field *f) {
  switch (f->id) {
  case HTTP_OTHER:
    if (http_name_is_ambiguous(f->name) || (is_forwarded(f->name) && !r->trusted_peer))
      return false;
    break;
  case HTTP_ACCEPT:
  case HTTP_CONTENT_TYPE:
    break;
  case HTTP_HOST:
  case HTTP_CONTENT_LENGTH:
  case HTTP_EXPECT:
  case HTTP_COOKIE: /* put as one field, see put_cookies */
  case HTTP_X_REQUEST_ID:
  case HTTP_X_SCALE_UP_TIMEOUT:
  case HTTP_X_FORWARDED_FOR:
    return false;
  case HTTP_AUTHORIZATION:
    return r->endpoint->def->pass_token && f->value.len;
  default:
    if (forwarding(f->id) && !r->trusted_peer)
      return false;
  }
  return !http_field_is_hop_by_hop(&r->head, f);
}

/* All values of that field, and `last` unless it is empty, with `between` between
 * them. One alone is not copied. */
static struct slice joined(struct request *r, enum http_name id, struct slice between,
                           struct slice last) {
  const struct http_head *h = &r->head;
  struct slice only = last;
  size_t bytes = last.len, count = last.len != 0;
  for (int i = 0; i < h->field_count; i++)
    if (h->fields[i].id == id) {
      only = h->fields[i].value;
      bytes += only.len + between.len;
      count++;
    }
  if (count <= 1)
    return only;
  char *to = arena_alloc(&r->arena, bytes), *at = to;
  if (!to)
    return SLICE_NONE;
  for (int i = 0; i < h->field_count; i++)
    if (h->fields[i].id == id) {
      struct slice value = h->fields[i].value;
      if (at != to)
        at = mempcpy(at, between.data, between.len);
      at = value.len ? mempcpy(at, value.data, value.len) : at;
    }
  if (last.len) {
    at = mempcpy(at, between.data, between.len);
    at = mempcpy(at, last.data, last.len);
  }
  return slice_of(to, (size_t)(at - to));
}

/* HTTP/2 clients may send a cookie in crumbs (RFC 9113, 8.2.3). */
static bool put_cookies(struct forward *f, struct request *r) {
  const struct http_field *first = http_head_get(&r->head, HTTP_COOKIE);
  if (!first || http_field_is_hop_by_hop(&r->head, first))
    return true;
  struct slice cookies = joined(r, HTTP_COOKIE, SLICE("; "), SLICE_NONE);
  f->put(f, SLICE("cookie"), cookies);
  return cookies.data != NULL;
}

/* A trusted peer's list is continued, another's is not believed. */
static bool put_forwarded_for(struct forward *f, struct request *r) {
  struct slice peer = slice_str(r->peer_text);
  struct slice list = r->trusted_peer ? joined(r, HTTP_X_FORWARDED_FOR, SLICE(", "), peer) : peer;
  f->put(f, SLICE("x-forwarded-for"), list);
  return list.data != NULL;
}

/* Ours, unless a trusted peer's has gone on. */
static void put_own(struct forward *f, const struct request *r, enum http_name id,
                    struct slice value) {
  const struct http_field *theirs = http_head_get(&r->head, id);
  if (value.len && !(theirs && forward_goes_on(r, theirs)))
    f->put(f, http_name_text(id), value);
}

static void put_forwarded(struct forward *f, const struct request *r) {
  put_own(f, r, HTTP_X_FORWARDED_PROTO, r->secure ? SLICE("https") : SLICE("http"));
  put_own(f, r, HTTP_X_FORWARDED_HOST, r->head.authority);
  put_own(f, r, HTTP_X_FORWARDED_PORT, r->local_port);
}

bool forward_fields(struct forward *f, struct request *r) {
  const struct http_head *h = &r->head;
  for (int i = 0; i < h->field_count; i++)
    if (forward_goes_on(r, &h->fields[i]))
      f->put(f, h->fields[i].name, h->fields[i].value);
  bool good = put_cookies(f, r) && put_forwarded_for(f, r);
  put_forwarded(f, r);
  if (r->id.len)
    f->put(f, SLICE("x-request-id"), r->id);
  return good;
}

/* What is left behind the prefix begins with a slash, unless a query follows at once. */
struct slice forward_target(struct request *r) {
  struct slice target = slice_skip(r->head.target, r->strip);
  if (target.len == 0)
    return SLICE("/");
  if (target.data[0] == '/' || target.data[0] == '*')
    return target;
  char *rooted = arena_alloc(&r->arena, target.len + 1);
  if (!rooted)
    return SLICE_NONE;
  rooted[0] = '/';
  memcpy(rooted + 1, target.data, target.len);
  return slice_of(rooted, target.len + 1);
}

struct slice forward_authority(const struct request *r) {
  return r->head.authority.len ? r->head.authority : r->endpoint->name;
}

usec_t forward_head_due(const struct request *r) {
  int64_t wait_s = r->endpoint->def->head_timeout_s;
  if (wait_s == 0)
    wait_s = r->worker->config->replica_head_timeout_s;
  return loop_now(r->worker->loop) + wait_s * USEC_PER_S;
}

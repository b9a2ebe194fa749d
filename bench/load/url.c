#include "bench/load/url.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/http/head.h"
#include "lib/net/address.h"

static enum err wrong(struct buf *why, const char *text) {
  buf_printf(why, "'%s' is no URL to send load to; write http://HOST[:PORT][/PATH] or https://...",
             text);
  return ERR_SYNTAX;
}

static bool port_parse(struct slice text, int *port) {
  long long n;
  if (!slice_decimal(text, &n) || n < 1 || n > 65535)
    return false;
  *port = (int)n;
  return true;
}

/* host, [v6], either with ":port" */
static bool authority_parse(struct slice text, struct url *u) {
  bool bracket = text.len && text.data[0] == '[';
  const char *close = bracket ? memchr(text.data, ']', text.len) : NULL;
  if (bracket && !close)
    return false;
  struct slice host = text, rest = SLICE_NONE;
  if (bracket) {
    host = slice_of(text.data + 1, (size_t)(close - text.data) - 1);
    rest = slice_skip(text, host.len + 2);
  } else {
    const char *colon = memchr(text.data, ':', text.len);
    host.len = colon ? (size_t)(colon - text.data) : text.len;
    rest = slice_skip(text, host.len);
  }
  if (host.len == 0 || host.len >= sizeof u->host)
    return false;
  snprintf(u->host, sizeof u->host, "%.*s", SLICE_ARG(host));
  return rest.len == 0 || (rest.data[0] == ':' && port_parse(slice_skip(rest, 1), &u->port));
}

enum err url_parse(const char *text, struct url *u, struct buf *why) {
  memset(u, 0, sizeof *u);
  struct slice rest = slice_str(text);
  u->tls = slice_starts(rest, SLICE("https://"));
  if (!u->tls && !slice_starts(rest, SLICE("http://")))
    return wrong(why, text);
  u->port = u->tls ? 443 : 80;
  rest = slice_skip(rest, u->tls ? 8 : 7);
  size_t n = 0;
  while (n < rest.len && rest.data[n] != '/' && rest.data[n] != '?')
    n++;
  struct slice authority = slice_of(rest.data, n), path = slice_skip(rest, n);
  if (!http_is_authority(authority) || !authority_parse(authority, u))
    return wrong(why, text);
  snprintf(u->authority, sizeof u->authority, "%.*s", SLICE_ARG(authority));
  while (path.len > 1 && path.data[path.len - 1] == '/')
    path.len--;
  const char *slash = path.len && path.data[0] == '/' ? "" : "/";
  if (snprintf(u->path, sizeof u->path, "%s%.*s", slash, SLICE_ARG(path)) >= (int)sizeof u->path ||
      !http_is_target(slice_str(u->path)))
    return wrong(why, text);
  return OK;
}

static bool is_local(const char *host) {
  struct slice h = slice_str(host), local = SLICE("localhost");
  if (h.len < local.len || (h.len > local.len && h.data[h.len - local.len - 1] != '.'))
    return false;
  return slice_equal_nocase(slice_skip(h, h.len - local.len), local);
}

enum err url_resolve(const char *host, int port, struct address *a, struct buf *why) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
  char service[16];
  snprintf(service, sizeof service, "%d", port);
  memset(a, 0, sizeof *a);
  int e = getaddrinfo(is_local(host) ? "127.0.0.1" : host, service, &hints, &found);
  if (e) {
    buf_printf(why, "%s: %s; check the name, or say --connect HOST:PORT", host, gai_strerror(e));
    return ERR_ABSENT;
  }
  memcpy(&a->storage, found->ai_addr, found->ai_addrlen);
  a->len = found->ai_addrlen;
  snprintf(a->text, sizeof a->text, "%.100s:%d", host, port);
  freeaddrinfo(found);
  return OK;
}

enum err url_resolve_text(const char *text, struct address *a, struct buf *why) {
  if (address_parse(text, a) == OK && !a->both_families)
    return OK;
  struct url u = {0};
  if (strncmp(text, "unix:", 5) != 0 && authority_parse(slice_str(text), &u) && u.port)
    return url_resolve(u.host, u.port, a, why);
  buf_printf(why, "'%s' is no place to connect to; write HOST:PORT or unix:PATH", text);
  return ERR_SYNTAX;
}

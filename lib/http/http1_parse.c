#include <string.h>

#include "lib/http/http1.h"

/* Behind the first CRLF CRLF from `at` on, or behind a LF without its CR; NULL when there is
 * neither. */
static const char *last_line(struct slice in, size_t at) {
  const char *begin = in.data + at, *end = in.data + in.len, *lf = begin;
  while (lf < end && (lf = memchr(lf, '\n', (size_t)(end - lf)))) {
    if (lf == in.data || lf[-1] != '\r')
      return lf + 1;
    if (lf - begin >= 3 && lf[-2] == '\n' && lf[-3] == '\r')
      return lf + 1;
    lf++;
  }
  return NULL;
}

size_t http1_head_end(struct slice in, size_t *scanned) {
  size_t at = *scanned > 3 ? *scanned - 3 : 0;
  size_t skip = in.len >= 2 && in.data[0] == '\r' && in.data[1] == '\n' ? 2 : 0;
  if (at < skip)
    at = skip;
  const char *end = last_line(in, at);
  *scanned = in.len;
  return end ? (size_t)(end - in.data) : 0;
}

/* Cuts the next line, without its CRLF, from *in; a CR or LF elsewhere is no line end. */
static bool line_next(struct slice *in, struct slice *line) {
  const char *lf = memchr(in->data, '\n', in->len);
  if (!lf || lf == in->data || lf[-1] != '\r')
    return false;
  *line = slice_of(in->data, (size_t)(lf - 1 - in->data));
  *in = slice_skip(*in, line->len + 2);
  return true;
}

/* field-name ":" OWS field-value OWS (RFC 9112, 5); a line that begins with white
 * space (obs-fold) has no name. */
static enum err field_parse(struct slice line, struct http_head *h) {
  const char *colon = memchr(line.data, ':', line.len);
  if (!colon)
    return ERR_SYNTAX;
  struct slice name = slice_of(line.data, (size_t)(colon - line.data));
  struct slice value = slice_trim(slice_skip(line, name.len + 1));
  enum http_name id = http_name_find(name);
  if ((id == HTTP_OTHER && !http_is_token(name)) || !http_is_field_value(value))
    return ERR_SYNTAX;
  return http_head_add_as(h, id, name, value);
}

static enum err fields_parse(struct slice in, struct http_head *h) {
  struct slice line;
  while (line_next(&in, &line)) {
    if (line.len == 0)
      return in.len == 0 ? OK : ERR_SYNTAX;
    enum err e = field_parse(line, h);
    if (e)
      return e;
  }
  return ERR_SYNTAX;
}

static enum err version_parse(struct slice s, struct http_head *h) {
  if (s.len != 8 || memcmp(s.data, "HTTP/", 5) != 0 || s.data[6] != '.' || s.data[5] < '0' ||
      s.data[5] > '9' || s.data[7] < '0' || s.data[7] > '9')
    return ERR_SYNTAX;
  if (s.data[5] != '1')
    return ERR_RANGE;
  h->minor_version = s.data[7] - '0';
  return OK;
}

/* What the fields say together about the message's end. */
struct framing_facts {
  int lengths, codings, hosts;
  int64_t length;
  bool chunked, differing;
};

static enum err framing_field(const struct http_field *f, struct framing_facts *facts) {
  long long n;
  if (f->id == HTTP_HOST) {
    facts->hosts++;
  } else if (f->id == HTTP_CONTENT_LENGTH) {
    if (!slice_decimal(f->value, &n))
      return ERR_SYNTAX;
    facts->differing = facts->differing || (facts->lengths && facts->length != n);
    facts->lengths++;
    facts->length = n;
  } else if (f->id == HTTP_TRANSFER_ENCODING) {
    facts->codings++;
    facts->chunked = slice_equal_nocase(f->value, SLICE("chunked"));
  }
  return OK;
}

static enum err framing_collect(const struct http_head *h, struct framing_facts *facts) {
  *facts = (struct framing_facts){.length = -1};
  for (int i = 0; i < h->field_count; i++) {
    enum err e = framing_field(&h->fields[i], facts);
    if (e)
      return e;
  }
  if (facts->codings &&
      (facts->lengths || facts->codings > 1 || !facts->chunked || h->minor_version == 0))
    return ERR_SYNTAX;
  return facts->differing ? ERR_SYNTAX : OK;
}

static void connection_read(struct http_head *h) {
  h->keep_alive = h->minor_version >= 1 ? !http_head_lists(h, HTTP_CONNECTION, SLICE("close"))
                                        : http_head_lists(h, HTTP_CONNECTION, SLICE("keep-alive"));
}

static bool names_websocket(const struct http_head *h) {
  return http_head_lists(h, HTTP_UPGRADE, SLICE("websocket"));
}

static bool asks_for_tunnel(const struct http_head *h) {
  return h->method == HTTP_GET && h->minor_version >= 1 && names_websocket(h) &&
         http_head_lists(h, HTTP_CONNECTION, SLICE("upgrade"));
}

/* "http://host/path?query" becomes "/path?query" for host (RFC 9112, 3.2.2), and OPTIONS without a
 * path that of the whole server (3.2.4). */
static enum err absolute_form(struct http_head *h) {
  size_t scheme =
      slice_equal_nocase(slice_of(h->target.data, h->target.len < 7 ? h->target.len : 7),
                         SLICE("http://"))
          ? 7
      : slice_equal_nocase(slice_of(h->target.data, h->target.len < 8 ? h->target.len : 8),
                           SLICE("https://"))
          ? 8
          : 0;
  if (!scheme)
    return OK;
  struct slice rest = slice_skip(h->target, scheme);
  size_t n = 0;
  while (n < rest.len && rest.data[n] != '/' && rest.data[n] != '?')
    n++;
  h->authority = slice_of(rest.data, n);
  h->target = slice_skip(rest, n);
  if (h->target.len == 0)
    h->target = h->method == HTTP_OPTIONS ? SLICE("*") : SLICE("/");
  return http_is_authority(h->authority) && h->target.data[0] != '?' ? OK : ERR_SYNTAX;
}

static enum err request_line(struct slice line, struct http_head *h) {
  const char *first = memchr(line.data, ' ', line.len);
  const char *last = line.len ? memrchr(line.data, ' ', line.len) : NULL;
  if (!first || first == last)
    return ERR_SYNTAX;
  h->method_text = slice_of(line.data, (size_t)(first - line.data));
  h->target = slice_of(first + 1, (size_t)(last - first - 1));
  h->method = http_method_find(h->method_text);
  if (!http_is_token(h->method_text) || h->method == HTTP_CONNECT)
    return ERR_SYNTAX;
  enum err e = version_parse(slice_skip(line, (size_t)(last + 1 - line.data)), h);
  if (!e)
    e = absolute_form(h);
  if (e)
    return e;
  bool star = slice_equal(h->target, SLICE("*"));
  return http_is_target(h->target) && (!star || h->method == HTTP_OPTIONS) ? OK : ERR_SYNTAX;
}

/* RFC 9112, 3.2: exactly one Host in HTTP/1.1. */
static enum err host_check(struct http_head *h, int hosts) {
  if (hosts > 1 || (hosts == 0 && h->minor_version >= 1))
    return ERR_SYNTAX;
  if (hosts == 0)
    return OK;
  struct slice host = http_head_value(h, HTTP_HOST);
  if (!http_is_authority(host))
    return ERR_SYNTAX;
  if (h->authority.len && !slice_equal_nocase(h->authority, host))
    return ERR_SYNTAX;
  h->authority = host;
  return OK;
}

enum err http1_parse_request(struct slice in, struct http_head *h) {
  struct slice line;
  if (slice_starts(in, SLICE("\r\n")))
    in = slice_skip(in, 2);
  if (!line_next(&in, &line))
    return ERR_SYNTAX;
  enum err e = request_line(line, h);
  if (!e)
    e = fields_parse(in, h);
  struct framing_facts facts;
  if (!e)
    e = framing_collect(h, &facts);
  if (!e)
    e = facts.lengths > 1 ? ERR_SYNTAX : host_check(h, facts.hosts);
  if (e)
    return e;
  connection_read(h);
  h->expect_continue = h->minor_version >= 1 &&
                       slice_equal_nocase(http_head_value(h, HTTP_EXPECT), SLICE("100-continue"));
  h->content_length = facts.length;
  h->framing = facts.codings ? HTTP_CHUNKED : facts.length > 0 ? HTTP_LENGTH : HTTP_NO_BODY;
  if (h->framing == HTTP_NO_BODY && asks_for_tunnel(h))
    h->framing = HTTP_TUNNEL;
  return OK;
}

static enum err status_line(struct slice line, struct http_head *h) {
  if (line.len < 12 || line.data[8] != ' ')
    return ERR_SYNTAX;
  enum err e = version_parse(slice_of(line.data, 8), h);
  if (e)
    return e;
  const char *d = line.data + 9;
  for (int i = 0; i < 3; i++)
    if (d[i] < '0' || d[i] > '9')
      return ERR_SYNTAX;
  h->status = (d[0] - '0') * 100 + (d[1] - '0') * 10 + (d[2] - '0');
  if (h->status < 100 || (line.len > 12 && line.data[12] != ' '))
    return ERR_SYNTAX;
  h->reason = slice_skip(line, 13);
  return http_is_field_value(h->reason) ? OK : ERR_SYNTAX;
}

enum err http1_parse_response(struct slice in, enum http_method method, struct http_head *h) {
  struct slice line;
  if (!line_next(&in, &line))
    return ERR_SYNTAX;
  enum err e = status_line(line, h);
  if (!e)
    e = fields_parse(in, h);
  struct framing_facts facts;
  if (!e)
    e = framing_collect(h, &facts);
  if (e)
    return e;
  connection_read(h);
  h->content_length = facts.length;
  if (h->status == 101 && names_websocket(h))
    h->framing = HTTP_TUNNEL;
  else if (method == HTTP_HEAD || h->status < 200 || h->status == 204 || h->status == 304)
    h->framing = HTTP_NO_BODY;
  else
    h->framing = facts.codings       ? HTTP_CHUNKED
                 : facts.length == 0 ? HTTP_NO_BODY
                 : facts.lengths     ? HTTP_LENGTH
                                     : HTTP_UNTIL_CLOSE;
  if (h->framing == HTTP_UNTIL_CLOSE)
    h->keep_alive = false;
  return OK;
}

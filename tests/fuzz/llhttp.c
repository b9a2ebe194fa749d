/* Any bytes as a message, read by Headrace and by llhttp: what Headrace accepts, llhttp accepts
 * with the same method, target, fields and body. What Headrace refuses may be accepted there. Where
 * else they differ stands in `listed`, with the reason.
 *
 * The first byte says which: even, a request; odd, an answer to GET. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http/http1.h"

/* Names that both have. */
#define HTTP_CONNECT LLHTTP_CONNECT
#define HTTP_DELETE LLHTTP_DELETE
#define HTTP_GET LLHTTP_GET
#define HTTP_HEAD LLHTTP_HEAD
#define HTTP_OPTIONS LLHTTP_OPTIONS
#define HTTP_PATCH LLHTTP_PATCH
#define HTTP_POST LLHTTP_POST
#define HTTP_PUT LLHTTP_PUT
#define HTTP_TRACE LLHTTP_TRACE
#include <llhttp.h>
#undef HTTP_CONNECT
#undef HTTP_DELETE
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_OPTIONS
#undef HTTP_PATCH
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_TRACE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_MAX = 64, BYTES_MAX = 16 * 1024 };

struct text {
  char bytes[BYTES_MAX];
  size_t len;
};

struct span {
  size_t at, len;
};

/* What a parser made of it. Texts stand one behind the other in `all`. */
struct reading {
  struct text all, body;
  struct span method, target, names[FIELDS_MAX], values[FIELDS_MAX];
  int fields, status;
  bool head, complete, framing_trailers;
};

static struct reading ours, theirs;

static struct span put(struct reading *r, struct slice s) {
  struct span span = {r->all.len, s.len};
  assert(r->all.len + s.len <= BYTES_MAX);
  if (s.len)
    memcpy(r->all.bytes + r->all.len, s.data, s.len);
  r->all.len += s.len;
  return span;
}

static void put_body(struct reading *r, struct slice s) {
  assert(r->body.len + s.len <= BYTES_MAX);
  if (s.len)
    memcpy(r->body.bytes + r->body.len, s.data, s.len);
  r->body.len += s.len;
}

static struct slice get(const struct reading *r, struct span s) {
  return slice_of(r->all.bytes + s.at, s.len);
}

/* llhttp gives texts piece by piece: a piece belongs to the last one. */
static int grow(struct span *s, const char *at, size_t n) {
  if (s->len == 0)
    *s = put(&theirs, slice_of(at, n));
  else
    s->len += put(&theirs, slice_of(at, n)).len;
  return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n) {
  return grow(&theirs.target, at, n);
}
static int on_method(llhttp_t *p, const char *at, size_t n) {
  return grow(&theirs.method, at, n);
}
static int on_name(llhttp_t *p, const char *at, size_t n) {
  return theirs.head || theirs.fields >= FIELDS_MAX ? 0 : grow(&theirs.names[theirs.fields], at, n);
}
static int on_value(llhttp_t *p, const char *at, size_t n) {
  return theirs.head || theirs.fields >= FIELDS_MAX ? 0
                                                    : grow(&theirs.values[theirs.fields], at, n);
}
static int on_value_end(llhttp_t *p) {
  theirs.fields += !theirs.head && theirs.fields < FIELDS_MAX;
  return 0;
}
static int on_head(llhttp_t *p) {
  theirs.head = true;
  theirs.status = p->status_code;
  return 0;
}
static int on_body(llhttp_t *p, const char *at, size_t n) {
  put_body(&theirs, slice_of(at, n));
  return 0;
}
static int on_complete(llhttp_t *p) {
  theirs.complete = true;
  return HPE_PAUSED;
}

static enum llhttp_errno read_theirs(struct slice in, bool request) {
  llhttp_settings_t settings;
  llhttp_t parser;
  llhttp_settings_init(&settings);
  settings.on_url = on_url;
  settings.on_method = on_method;
  settings.on_header_field = on_name;
  settings.on_header_value = on_value;
  settings.on_header_value_complete = on_value_end;
  settings.on_headers_complete = on_head;
  settings.on_body = on_body;
  settings.on_message_complete = on_complete;
  memset(&theirs, 0, sizeof theirs);
  llhttp_init(&parser, request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
  return llhttp_execute(&parser, in.data, in.len);
}

/* False: the head was refused, or is not complete. */
static bool read_head(struct slice *in, bool request, struct http_head *h) {
  size_t scanned = 0, n = http1_head_end(*in, &scanned);
  if (!n)
    return false;
  struct slice head = slice_of(in->data, n);
  if ((request ? http1_parse_request(head, h) : http1_parse_response(head, HTTP_GET, h)) != OK)
    return false;
  *in = slice_skip(*in, n);
  memset(&ours, 0, sizeof ours);
  ours.head = true;
  ours.status = h->status;
  ours.method = put(&ours, h->method_text);
  ours.target = put(&ours, h->target);
  for (int i = 0; i < h->field_count; i++) {
    ours.names[i] = put(&ours, h->fields[i].name);
    ours.values[i] = put(&ours, h->fields[i].value);
  }
  ours.fields = h->field_count;
  return true;
}

static enum http1_event read_body(struct slice in, const struct http_head *h) {
  struct http1_body b;
  struct slice span, value;
  enum http1_event event;
  http1_body_init(&b, h);
  while ((event = http1_body_next(&b, &in, &span, &value)) == HTTP1_DATA || event == HTTP1_TRAILER)
    if (event == HTTP1_DATA)
      put_body(&ours, span);
    else if (http_name_find(span) == HTTP_CONTENT_LENGTH ||
             http_name_find(span) == HTTP_TRANSFER_ENCODING)
      ours.framing_trailers = true;
  ours.complete = event == HTTP1_END;
  return event;
}

/* The white space behind a value (it lies in the input, before its CRLF) has a tab. */
static bool tab_behind(const struct http_head *h, enum http_name id) {
  for (int i = 0; i < h->field_count; i++) {
    const char *p = h->fields[i].value.data + h->fields[i].value.len;
    while (h->fields[i].id == id && (*p == ' ' || *p == '\t'))
      if (*p++ == '\t')
        return true;
  }
  return false;
}

/* The reasons for which llhttp refuses a head that we accept. */
static const char *listed_head(enum llhttp_errno e, const struct http_head *h, int lengths) {
  if (h->method == HTTP_METHOD_OTHER && !h->status)
    return "llhttp has a list of methods; RFC 9110, 9.1 leaves it open, and we pass on any token";
  if (e == HPE_INVALID_VERSION && h->minor_version > 1)
    return "a higher minor version is read as 1.1 (RFC 9110, 2.5)";
  if (e == HPE_INVALID_CONTENT_LENGTH && tab_behind(h, HTTP_CONTENT_LENGTH))
    return "a tab behind a value is white space as a blank is (RFC 9110, 5.6.3)";
  if (e == HPE_UNEXPECTED_CONTENT_LENGTH && h->status && lengths > 1)
    return "an answer may repeat one and the same Content-Length (RFC 9112, 6.3)";
  return NULL;
}

/* And for which it refuses a body. */
static const char *listed_body(enum llhttp_errno e, const struct http_head *h, struct slice body) {
  if (h->framing != HTTP_CHUNKED)
    return NULL;
  if ((e == HPE_STRICT || e == HPE_INVALID_CHUNK_SIZE) && memchr(body.data, ';', body.len))
    return "chunk extensions, and blanks before them, are passed over whatever they say "
           "(RFC 9112, 7.1.1); llhttp looks at their characters";
  if ((e == HPE_UNEXPECTED_CONTENT_LENGTH || e == HPE_INVALID_CONTENT_LENGTH ||
       e == HPE_INVALID_TRANSFER_ENCODING) &&
      ours.framing_trailers)
    return "fields of framing mean nothing in trailers (RFC 9110, 6.5.1); llhttp reads them";
  return NULL;
}

static void differ(const char *what, enum llhttp_errno e) {
  fprintf(stderr, "they differ: %s (llhttp: %s)\n", what, llhttp_errno_name(e));
  abort();
}

static struct slice without_authority(struct slice url, const struct http_head *h) {
  if (url.len && url.data[0] != '/' && h->authority.len) {
    const char *at = memmem(url.data, url.len, "://", 3);
    size_t before = at ? (size_t)(at - url.data) + 3 + h->authority.len : 0;
    if (at && before <= url.len)
      return before == url.len ? SLICE("/") : slice_skip(url, before);
  }
  return url;
}

static void compare_heads(const struct http_head *h, enum llhttp_errno e) {
  if (!slice_equal(get(&ours, ours.method), get(&theirs, theirs.method)) && !ours.status)
    differ("method", e);
  if (ours.status != theirs.status)
    differ("status", e);
  if (!ours.status &&
      !slice_equal(get(&ours, ours.target), without_authority(get(&theirs, theirs.target), h)))
    differ("target", e);
  if (ours.fields != theirs.fields)
    differ("number of fields", e);
  for (int i = 0; i < ours.fields; i++)
    if (!slice_equal(get(&ours, ours.names[i]), get(&theirs, theirs.names[i])) ||
        !slice_equal(get(&ours, ours.values[i]), slice_trim(get(&theirs, theirs.values[i]))))
      differ("field", e);
}

/* llhttp reads on after a Content-Length where the status says that there is no body (RFC 9112,
 * 6.3); leaves off at any upgrade, we only at one to WebSocket; and does not know "chunked" with a
 * tab behind it, which is white space as a blank is (RFC 9110, 5.6.3). */
static bool listed_end(const struct http_head *h) {
  bool bodiless = h->status && (h->status < 200 || h->status == 204 || h->status == 304);
  return bodiless || tab_behind(h, HTTP_TRANSFER_ENCODING) || http_head_get(h, HTTP_UPGRADE) ||
         h->status == 101;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > BYTES_MAX / 4)
    return 0;
  bool request = !(data[0] & 1);
  struct slice in = slice_of((const char *)data + 1, size - 1), rest = in;
  struct http_field fields[FIELDS_MAX];
  struct http_head h;
  http_head_init(&h, fields, FIELDS_MAX);
  if (!read_head(&rest, request, &h))
    return 0;
  int lengths = 0;
  for (int i = 0; i < h.field_count; i++)
    lengths += fields[i].id == HTTP_CONTENT_LENGTH;
  enum http1_event event = read_body(rest, &h);
  enum llhttp_errno e = read_theirs(in, request);
  if (!theirs.head) {
    if (!listed_head(e, &h, lengths))
      differ("llhttp refuses the head", e);
    return 0;
  }
  compare_heads(&h, e);
  if (!ours.complete && h.framing != HTTP_UNTIL_CLOSE)
    return 0; /* nothing that we have accepted: refused, or waited for */
  if (event == HTTP1_BAD || h.framing == HTTP_TUNNEL || listed_end(&h))
    return 0; /* our refusal; no messages any more */
  if (e != HPE_OK && e != HPE_PAUSED && e != HPE_PAUSED_UPGRADE) {
    if (!listed_body(e, &h, rest))
      differ("llhttp refuses the body", e);
    return 0;
  }
  if (ours.complete && !theirs.complete)
    differ("end of the message", e);
  if (!slice_equal(slice_of(ours.body.bytes, ours.body.len),
                   slice_of(theirs.body.bytes, theirs.body.len)))
    differ("body", e);
  return 0;
}

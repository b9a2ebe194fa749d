#include "lib/http/head.h"

#include "lib/base/wipe.h"
#include <assert.h>
#include <string.h>

/* In the order of enum http_name. */
static const struct slice names[HTTP_NAMES] = {
    [HTTP_ACCEPT] = SLICE("accept"),
    [HTTP_ACCESS_CONTROL_REQUEST_HEADERS] = SLICE("access-control-request-headers"),
    [HTTP_ACCESS_CONTROL_REQUEST_METHOD] = SLICE("access-control-request-method"),
    [HTTP_AUTHORIZATION] = SLICE("authorization"),
    [HTTP_CONNECTION] = SLICE("connection"),
    [HTTP_CONTENT_LENGTH] = SLICE("content-length"),
    [HTTP_CONTENT_TYPE] = SLICE("content-type"),
    [HTTP_COOKIE] = SLICE("cookie"),
    [HTTP_DATE] = SLICE("date"),
    [HTTP_EXPECT] = SLICE("expect"),
    [HTTP_FORWARDED] = SLICE("forwarded"),
    [HTTP_HOST] = SLICE("host"),
    [HTTP_HTTP2_SETTINGS] = SLICE("http2-settings"),
    [HTTP_KEEP_ALIVE] = SLICE("keep-alive"),
    [HTTP_ORIGIN] = SLICE("origin"),
    [HTTP_PROXY_AUTHENTICATE] = SLICE("proxy-authenticate"),
    [HTTP_PROXY_AUTHORIZATION] = SLICE("proxy-authorization"),
    [HTTP_PROXY_CONNECTION] = SLICE("proxy-connection"),
    [HTTP_RETRY_AFTER] = SLICE("retry-after"),
    [HTTP_SERVER] = SLICE("server"),
    [HTTP_TE] = SLICE("te"),
    [HTTP_TRAILER] = SLICE("trailer"),
    [HTTP_TRANSFER_ENCODING] = SLICE("transfer-encoding"),
    [HTTP_UPGRADE] = SLICE("upgrade"),
    [HTTP_VIA] = SLICE("via"),
    [HTTP_X_FORWARDED_FOR] = SLICE("x-forwarded-for"),
    [HTTP_X_FORWARDED_HOST] = SLICE("x-forwarded-host"),
    [HTTP_X_FORWARDED_PORT] = SLICE("x-forwarded-port"),
    [HTTP_X_FORWARDED_PROTO] = SLICE("x-forwarded-proto"),
    [HTTP_X_REAL_IP] = SLICE("x-real-ip"),
    [HTTP_X_REQUEST_ID] = SLICE("x-request-id"),
    [HTTP_X_SCALE_UP_TIMEOUT] = SLICE("x-scale-up-timeout"),
};

enum { NAME_BYTES_MAX = 30, NAMES_PER_LENGTH = 8 };

/* Which names have a length, filled from the table before main. */
static struct {
  unsigned char ids[NAMES_PER_LENGTH];
  unsigned char count;
} by_length[NAME_BYTES_MAX + 1];

__attribute__((constructor)) static void index_names(void) {
  for (int id = HTTP_OTHER + 1; id < HTTP_NAMES; id++)
    by_length[names[id].len].ids[by_length[names[id].len].count++] = (unsigned char)id;
}

enum http_name http_name_find(struct slice name) {
  if (name.len > NAME_BYTES_MAX)
    return HTTP_OTHER;
  for (int i = 0; i < by_length[name.len].count; i++) {
    enum http_name id = by_length[name.len].ids[i];
    if ((name.data[0] | 0x20) == names[id].data[0] && slice_equal_nocase(name, names[id]))
      return id;
  }
  return HTTP_OTHER;
}

struct slice http_name_text(enum http_name id) {
  return id > HTTP_OTHER && id < HTTP_NAMES ? names[id] : SLICE("");
}

enum http_method http_method_find(struct slice text) {
  static const struct {
    struct slice text;
    enum http_method method;
  } methods[] = {
      {SLICE("GET"), HTTP_GET},         {SLICE("HEAD"), HTTP_HEAD},
      {SLICE("POST"), HTTP_POST},       {SLICE("PUT"), HTTP_PUT},
      {SLICE("DELETE"), HTTP_DELETE},   {SLICE("CONNECT"), HTTP_CONNECT},
      {SLICE("OPTIONS"), HTTP_OPTIONS}, {SLICE("TRACE"), HTTP_TRACE},
      {SLICE("PATCH"), HTTP_PATCH},
  };
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (slice_equal(text, methods[i].text))
      return methods[i].method;
  return HTTP_METHOD_OTHER;
}

const char *http_reason(int status) {
  static const struct {
    int status;
    const char *reason;
  } reasons[] = {
      {100, "Continue"},
      {101, "Switching Protocols"},
      {103, "Early Hints"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {206, "Partial Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {411, "Length Required"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
  };
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
    if (reasons[i].status == status)
      return reasons[i].reason;
  return "";
}

static_assert(HTTP_NAMES <= 64, "http_head.seen has a bit for each name");

static bool never_seen(const struct http_head *h, enum http_name id) {
  return !(h->seen >> id & 1);
}

void http_head_init(struct http_head *h, struct http_field *fields, uint16_t field_max) {
  *h = (struct http_head){.fields = fields,
                          .field_max = field_max,
                          .content_length = -1,
                          .minor_version = 1,
                          .keep_alive = true};
}

enum err http_head_add(struct http_head *h, struct slice name, struct slice value) {
  return http_head_add_as(h, http_name_find(name), name, value);
}

enum err http_head_add_as(struct http_head *h, enum http_name id, struct slice name,
                          struct slice value) {
  if (h->field_count >= h->field_max)
    return ERR_LIMIT;
  h->fields[h->field_count++] = (struct http_field){name, value, id};
  h->seen |= UINT64_C(1) << id;
  return OK;
}

const struct http_field *http_head_get(const struct http_head *h, enum http_name id) {
  if (never_seen(h, id))
    return NULL;
  for (int i = 0; i < h->field_count; i++)
    if (h->fields[i].id == id)
      return &h->fields[i];
  return NULL;
}

void http_head_forget(struct http_head *h, enum http_name id) {
  if (never_seen(h, id))
    return;
  for (int i = 0; i < h->field_count; i++)
    if (h->fields[i].id == id) {
      wipe_slice(h->fields[i].value);
      h->fields[i].value.len = 0;
    }
}

struct slice http_head_value(const struct http_head *h, enum http_name id) {
  const struct http_field *f = http_head_get(h, id);
  return f ? f->value : SLICE_NONE;
}

bool http_head_lists(const struct http_head *h, enum http_name id, struct slice element) {
  if (never_seen(h, id))
    return false;
  for (int i = 0; i < h->field_count; i++)
    if (h->fields[i].id == id && slice_list_has(h->fields[i].value, element))
      return true;
  return false;
}

bool http_head_is_interim(const struct http_head *h) {
  return h->status < 200 && h->framing != HTTP_TUNNEL;
}

bool http_field_is_hop_by_hop(const struct http_head *h, const struct http_field *f) {
  switch (f->id) {
  case HTTP_CONNECTION:
  case HTTP_HTTP2_SETTINGS:
  case HTTP_KEEP_ALIVE:
  case HTTP_PROXY_AUTHENTICATE:
  case HTTP_PROXY_AUTHORIZATION:
  case HTTP_PROXY_CONNECTION:
  case HTTP_TE:
  case HTTP_TRAILER:
  case HTTP_TRANSFER_ENCODING:
  case HTTP_UPGRADE:
    return true;
  default:
    return http_head_lists(h, HTTP_CONNECTION, f->name);
  }
}

bool http_name_is_ambiguous(struct slice name) {
  return memchr(name.data, '_', name.len) != NULL;
}

bool http_field_may_trail(struct slice name) {
  static const struct slice no[] = {
      SLICE("age"),
      SLICE("cache-control"),
      SLICE("content-encoding"),
      SLICE("content-range"),
      SLICE("expires"),
      SLICE("if-match"),
      SLICE("if-modified-since"),
      SLICE("if-none-match"),
      SLICE("if-range"),
      SLICE("if-unmodified-since"),
      SLICE("location"),
      SLICE("max-forwards"),
      SLICE("pragma"),
      SLICE("range"),
      SLICE("set-cookie"),
      SLICE("vary"),
      SLICE("www-authenticate"),
  };
  for (size_t i = 0; i < sizeof no / sizeof *no; i++)
    if (slice_equal_nocase(name, no[i]))
      return false;
  return http_name_find(name) == HTTP_OTHER;
}

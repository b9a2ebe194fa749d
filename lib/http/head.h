/* A message head: what stands before a body, in either direction and version.
 *
 * A head owns no bytes: names and values are slices into memory of its owner (a
 * request's arena or a read buffer), which must outlive it. Fields keep their
 * order of arrival (RFC 9110, 5.3). Names are compared without case. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

/* Fields the proxy itself looks at; recognised once, while parsing. */
enum http_name {
  HTTP_OTHER, /* any field not listed */
  HTTP_ACCEPT,
  HTTP_ACCESS_CONTROL_REQUEST_HEADERS,
  HTTP_ACCESS_CONTROL_REQUEST_METHOD,
  HTTP_AUTHORIZATION,
  HTTP_CONNECTION,
  HTTP_CONTENT_LENGTH,
  HTTP_CONTENT_TYPE,
  HTTP_COOKIE,
  HTTP_DATE,
  HTTP_EXPECT,
  HTTP_FORWARDED,
  HTTP_HOST,
  HTTP_HTTP2_SETTINGS,
  HTTP_KEEP_ALIVE,
  HTTP_ORIGIN,
  HTTP_PROXY_AUTHENTICATE,
  HTTP_PROXY_AUTHORIZATION,
  HTTP_PROXY_CONNECTION,
  HTTP_RETRY_AFTER,
  HTTP_SERVER,
  HTTP_TE,
  HTTP_TRAILER,
  HTTP_TRANSFER_ENCODING,
  HTTP_UPGRADE,
  HTTP_VIA,
  HTTP_X_FORWARDED_FOR,
  HTTP_X_FORWARDED_HOST,
  HTTP_X_FORWARDED_PORT,
  HTTP_X_FORWARDED_PROTO,
  HTTP_X_REAL_IP,
  HTTP_X_REQUEST_ID,
  HTTP_X_SCALE_UP_TIMEOUT,
  HTTP_NAMES
};

enum http_method {
  HTTP_METHOD_OTHER, /* a valid token not listed here; passed on as it is */
  HTTP_GET,
  HTTP_HEAD,
  HTTP_POST,
  HTTP_PUT,
  HTTP_DELETE,
  HTTP_CONNECT,
  HTTP_OPTIONS,
  HTTP_TRACE,
  HTTP_PATCH,
};

struct http_field {
  struct slice name;  /* as received; lower case when it came by HTTP/2 */
  struct slice value; /* without surrounding white space */
  enum http_name id;
};

/* How the end of a body is found (RFC 9112, 6.3). */
enum http_framing {
  HTTP_NO_BODY,
  HTTP_LENGTH,      /* content_length bytes */
  HTTP_CHUNKED,     /* chunked transfer coding; in HTTP/2: DATA until END_STREAM, length unknown */
  HTTP_UNTIL_CLOSE, /* a response that ends with its connection */
  HTTP_TUNNEL,      /* WebSocket: a request that asks for it, a 101 that grants it; no messages
                       any more but bytes both ways until the connections end */
};

struct http_head {
  /* request */
  enum http_method method;
  struct slice method_text;
  struct slice target;    /* origin form "/path?query" or "*" as sent on to a replica */
  struct slice authority; /* host[:port] from :authority, the absolute form, or Host */
  /* response */
  int status; /* 100 to 999 */
  struct slice reason;
  /* both */
  int minor_version; /* HTTP/1.minor; 1 for HTTP/2 */
  enum http_framing framing;
  int64_t content_length;    /* bytes; -1 when not given */
  bool keep_alive;           /* HTTP/1: the sender would keep the connection */
  bool expect_continue;      /* RFC 9110, 10.1.1 */
  struct http_field *fields; /* field_count of field_max are in use */
  uint16_t field_count, field_max;
  uint64_t seen; /* a bit for each http_name that was added; others need not be looked for */
};

/* The id of a field name, without case; HTTP_OTHER when it is none of ours. */
enum http_name http_name_find(struct slice name);
/* The canonical spelling in lower case, "" for HTTP_OTHER. */
struct slice http_name_text(enum http_name id);
enum http_method http_method_find(struct slice text);
/* The standard reason phrase, "" when there is none. */
const char *http_reason(int status);

/* Starts an empty head over the caller's array of fields. */
void http_head_init(struct http_head *h, struct http_field *fields, uint16_t field_max);
/* Appends; ERR_LIMIT when the array is full. The slices are kept, not copied. */
enum err http_head_add(struct http_head *h, struct slice name, struct slice value) MUST_CHECK;
/* The same when the id is known already. */
enum err http_head_add_as(struct http_head *h, enum http_name id, struct slice name,
                          struct slice value) MUST_CHECK;
/* The first field with that id, NULL when absent. */
const struct http_field *http_head_get(const struct http_head *h, enum http_name id);
/* The value of the first field with that id, SLICE_NONE when absent. */
struct slice http_head_value(const struct http_head *h, enum http_name id);
/* Zeroes the values of all fields with that id where they stand, and empties them. */
void http_head_forget(struct http_head *h, enum http_name id);
/* Whether a comma-separated list in any field with that id has the element. */
bool http_head_lists(const struct http_head *h, enum http_name id, struct slice element);
/* Whether a response's head is followed by another: 1xx, but not the 101 of a tunnel. */
bool http_head_is_interim(const struct http_head *h);
/* Whether the field belongs to one hop only (RFC 9110, 7.6.1): the well-known
 * ones (connection, keep-alive, proxy-connection, te, trailer, transfer-encoding,
 * upgrade, http2-settings, proxy-authenticate, proxy-authorization) and whatever
 * the head's Connection fields list. */
bool http_field_is_hop_by_hop(const struct http_head *h, const struct http_field *f);
/* Whether it has an underscore: where names become variables that is a hyphen, and what we drop or
 * say ourselves would come in by that door. Never empty. */
bool http_name_is_ambiguous(struct slice name);
/* Whether a field may stand behind a body (RFC 9110, 6.5.1): none that says how the message is
 * framed, routed or controlled, who asks, or what the content is. */
bool http_field_may_trail(struct slice name);

/* token = 1*tchar (RFC 9110, 5.6.2) */
bool http_is_token(struct slice s);
/* Field value bytes: no CR, LF, NUL or other control but tab (RFC 9110, 5.5). */
bool http_is_field_value(struct slice s);
/* A request target's path and query: no control, space or byte over 0x7e; begins with '/' or is
 * "*". */
bool http_is_target(struct slice s);
/* host [":" port]: a registered name, IPv4 or bracketed IPv6 (RFC 3986, 3.2.2). */
bool http_is_authority(struct slice s);

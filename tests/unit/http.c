/* HTTP/1.1 heads and bodies (RFC 9112), accepted and refused; split at every byte. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/http/error_body.h"
#include "lib/http/http1.h"
#include "lib/http/json_member.h"

static struct http_field fields[16];
static struct http_head head;

static enum err request(const char *text) {
  http_head_init(&head, fields, 16);
  return http1_parse_request(slice_str(text), &head);
}

static enum err response(const char *text, enum http_method method) {
  http_head_init(&head, fields, 16);
  return http1_parse_response(slice_str(text), method, &head);
}

#define HOST "Host: h\r\n"

Test(http1, refuses_what_may_be_read_in_two_ways) {
  static const struct {
    const char *text;
    enum err err;
  } cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", ERR_SYNTAX},              /* 3.2 */
      {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", ERR_SYNTAX}, /* 3.2 */
      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ERR_SYNTAX},
      {"GET  / HTTP/1.1\r\n" HOST "\r\n", ERR_SYNTAX}, /* 3 */
      {"GET /\x01 HTTP/1.1\r\n" HOST "\r\n", ERR_SYNTAX},
      {"GET a HTTP/1.1\r\n" HOST "\r\n", ERR_SYNTAX},
      {"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", ERR_SYNTAX},
      {"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", ERR_SYNTAX}, /* 3.2.2 */
      {"GET / HTTP/2.0\r\n" HOST "\r\n", ERR_RANGE},             /* 2.3 */
      {"GET / http/1.1\r\n" HOST "\r\n", ERR_SYNTAX},
      {"GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", ERR_SYNTAX},      /* 5.1 */
      {"GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", ERR_SYNTAX}, /* 5.2 */
      {"GET / HTTP/1.1\r\n A: b\r\n" HOST "\r\n", ERR_SYNTAX},      /* 2.2 */
      {"GET / HTTP/1.1\r\n" HOST "A: b\nC: d\r\n\r\n", ERR_SYNTAX}, /* 2.2: bare LF */
      {"GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n", ERR_SYNTAX},    /* 2.2: bare CR */
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       ERR_SYNTAX},                                                            /* 6.1 */
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", ERR_SYNTAX}, /* 6.3 */
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", ERR_SYNTAX},
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n", ERR_SYNTAX},
      {"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", ERR_SYNTAX},
      {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", ERR_SYNTAX},
      {"POST / HTTP/1.1\r\n" HOST
       "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
       ERR_SYNTAX},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_SYNTAX}, /* 6.1 */
      {"GET / HTTP/1.1\r\n" HOST "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n9:\r\na:\r\nb:"
       "\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\n\r\n",
       ERR_LIMIT},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    cr_assert_eq(request(cases[i].text), cases[i].err, "case %zu: %s", i, cases[i].text);
}

Test(http1, reads_what_is_said) {
  cr_assert_eq(
      request("\r\nPOST /a?b HTTP/1.1\r\nHost: H:1\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n"
              "Connection: close, x\r\nX: 1\r\n\r\n"),
      OK);
  cr_assert(head.method == HTTP_POST && head.framing == HTTP_LENGTH && head.content_length == 5);
  cr_assert(head.expect_continue && !head.keep_alive && slice_equal(head.target, SLICE("/a?b")));
  cr_assert(slice_equal(head.authority, SLICE("H:1")));
  cr_assert(http_field_is_hop_by_hop(&head, &head.fields[4]), "named by Connection");
  cr_assert_not(http_field_is_hop_by_hop(&head, &head.fields[1]));
  cr_assert_eq(request("GET HTTP://H?q HTTP/1.1\r\nHost: h\r\n\r\n"), ERR_SYNTAX);
  cr_assert_eq(request("GET HTTP://H/p HTTP/1.1\r\nHost: h\r\n\r\n"), OK);
  cr_assert(slice_equal(head.target, SLICE("/p")) && slice_equal(head.authority, SLICE("h")));
  cr_assert_eq(request("GET / HTTP/1.0\r\n\r\n"), OK);
  cr_assert_not(head.keep_alive);
  cr_assert_eq(request("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), OK);
  cr_assert_eq(request("OPTIONS http://h HTTP/1.1\r\n" HOST "\r\n"), OK);
  cr_assert(slice_equal(head.target, SLICE("*")));
}

#define UPGRADE "Connection: keep-alive, Upgrade\r\nUpgrade: "

Test(http1, tells_who_asks_for_a_tunnel) {
  cr_assert_eq(request("GET / HTTP/1.1\r\n" HOST UPGRADE "WebSocket\r\n\r\n"), OK);
  cr_assert_eq(head.framing, HTTP_TUNNEL);
  cr_assert_eq(request("GET / HTTP/1.1\r\n" HOST UPGRADE "h2c, websocket\r\n\r\n"), OK);
  cr_assert_eq(head.framing, HTTP_TUNNEL);
  static const char *const others[] = {
      "GET / HTTP/1.1\r\n" HOST UPGRADE "h2c\r\n\r\n",
      "GET / HTTP/1.1\r\n" HOST UPGRADE "websocket/2\r\n\r\n",
      "GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n",
      "GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\n\r\n",
      "GET / HTTP/1.0\r\n" HOST UPGRADE "websocket\r\n\r\n",
      "POST / HTTP/1.1\r\n" HOST UPGRADE "websocket\r\n\r\n",
      "GET / HTTP/1.1\r\n" HOST UPGRADE "websocket\r\nContent-Length: 1\r\n\r\n",
      "GET / HTTP/1.1\r\n" HOST UPGRADE "websocket\r\nTransfer-Encoding: chunked\r\n\r\n",
  };
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    cr_assert_eq(request(others[i]), OK);
    cr_assert_neq(head.framing, HTTP_TUNNEL, "case %zu", i);
  }
}

Test(http1, tells_who_grants_a_tunnel) {
  cr_assert_eq(response("HTTP/1.1 101 Go\r\n" UPGRADE "websocket\r\n\r\n", HTTP_GET), OK);
  cr_assert(head.framing == HTTP_TUNNEL && !http_head_is_interim(&head));
  cr_assert_eq(response("HTTP/1.1 101 Go\r\n" UPGRADE "h2c\r\n\r\n", HTTP_GET), OK);
  cr_assert(head.framing == HTTP_NO_BODY && http_head_is_interim(&head));
  cr_assert_eq(
      response("HTTP/1.1 200 OK\r\n" UPGRADE "websocket\r\nContent-Length: 3\r\n\r\n", HTTP_GET),
      OK);
  cr_assert_eq(head.framing, HTTP_LENGTH);
}

Test(http1, hands_a_tunnel_out_as_it_is) {
  struct http1_body b;
  http_head_init(&head, fields, 16);
  head.framing = HTTP_TUNNEL;
  http1_body_init(&b, &head);
  struct slice in = SLICE("0\r\n\r\n"), span, value;
  cr_assert_eq(http1_body_next(&b, &in, &span, &value), HTTP1_DATA);
  cr_assert(span.len == 5 && in.len == 0);
  cr_assert_eq(http1_body_next(&b, &in, &span, &value), HTTP1_MORE);
  cr_assert(http1_body_may_close(&b, true));
  cr_assert_not(http1_body_may_close(&b, false));
}

Test(http1, a_whole_body_may_be_followed_by_any_end) {
  head.framing = HTTP_LENGTH;
  head.content_length = 2;
  struct http1_body b;
  http1_body_init(&b, &head);
  struct slice in = SLICE("a"), span, value;
  cr_assert_eq(http1_body_next(&b, &in, &span, &value), HTTP1_DATA);
  cr_assert_not(http1_body_may_close(&b, true));
  in = SLICE("b");
  cr_assert_eq(http1_body_next(&b, &in, &span, &value), HTTP1_DATA);
  cr_assert_eq(http1_body_next(&b, &in, &span, &value), HTTP1_END);
  cr_assert(http1_body_may_close(&b, false), "a reset, too");
}

Test(http1, finds_the_end_of_an_answer) {
  cr_assert_eq(response("HTTP/1.1 200\r\n\r\n", HTTP_GET), OK);
  cr_assert(head.framing == HTTP_UNTIL_CLOSE && !head.keep_alive);
  cr_assert_eq(response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", HTTP_HEAD), OK);
  cr_assert(head.framing == HTTP_NO_BODY && head.content_length == 3);
  cr_assert_eq(response("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", HTTP_GET), OK);
  cr_assert_eq(head.framing, HTTP_NO_BODY);
  cr_assert_eq(
      response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
               HTTP_GET),
      ERR_SYNTAX);
  cr_assert_eq(response("HTTP/1.1 99 No\r\n\r\n", HTTP_GET), ERR_SYNTAX);
  cr_assert_eq(response("HTTP/1.1 2000 No\r\n\r\n", HTTP_GET), ERR_SYNTAX);
}

Test(http1, finds_the_end_of_a_head_however_it_arrives) {
  const char text[] = "\r\nGET / HTTP/1.1\r\n" HOST "\r\nrest";
  size_t scanned = 0, whole = strlen(text) - 4;
  for (size_t n = 0; n <= whole; n++)
    cr_assert_eq(http1_head_end(slice_of(text, n), &scanned), n < whole ? 0 : whole, "at %zu", n);
  scanned = 0;
  cr_assert_eq(http1_head_end(slice_str(text), &scanned), whole);
}

Test(http1, waits_for_nothing_behind_a_bare_lf) {
  static const char *const bad[] = {"GET / HTTP/1.1\n", "\n", "GET / HTTP/1.1\r\nHost: h\n",
                                    "HTTP/1.1 200 OK\r\n\n"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    size_t scanned = 0;
    struct slice in = slice_str(bad[i]);
    for (size_t n = 0; n < in.len; n++)
      cr_assert_eq(http1_head_end(slice_of(in.data, n), &scanned), 0);
    cr_assert_eq(http1_head_end(in, &scanned), in.len);
    cr_assert_eq(request(bad[i]), ERR_SYNTAX);
    cr_assert_eq(response(bad[i], HTTP_GET), ERR_SYNTAX);
  }
}

/* Feeds `text` in two parts; content and trailers to `out`; the last event. */
static enum http1_event feed(const char *text, size_t cut, char *out) {
  struct http1_body b;
  http_head_init(&head, fields, 16);
  head.framing = HTTP_CHUNKED;
  http1_body_init(&b, &head);
  char rest[512] = "";
  *out = '\0';
  enum http1_event event = HTTP1_MORE;
  for (int part = 0; part < 2 && event == HTTP1_MORE; part++) {
    strncat(rest, part ? text + cut : text, part ? strlen(text) - cut : cut);
    struct slice in = slice_str(rest), span, value;
    while ((event = http1_body_next(&b, &in, &span, &value)) == HTTP1_DATA ||
           event == HTTP1_TRAILER) {
      strncat(out, span.data, span.len);
      if (event == HTTP1_TRAILER)
        sprintf(out + strlen(out), "=%.*s;", SLICE_ARG(value));
    }
    memmove(rest, in.data ? in.data : "", in.len);
    rest[in.len] = '\0';
  }
  return event;
}

Test(http1, reads_chunks_split_anywhere) {
  const char text[] = "5;a=b\r\nhello\r\n00b\r\n wide world\r\n0\r\nX-T: 1\r\nY: 2\r\n\r\n";
  char out[512];
  for (size_t cut = 0; cut <= strlen(text); cut++) {
    cr_assert_eq(feed(text, cut, out), HTTP1_END, "cut at %zu", cut);
    cr_assert_str_eq(out, "hello wide worldX-T=1;Y=2;");
  }
}

Test(http1, refuses_broken_chunks) {
  static const char *const bad[] = {"x\r\n",
                                    "\r\n",
                                    "5\nhello",
                                    "5 \r\nhello\r\n",
                                    "5 5\r\nhello\r\n",
                                    "5 \t0;x\r\nhello\r\n",
                                    "1\r\nab\r\n",
                                    "1\r\na\n",
                                    "-1\r\n",
                                    "ffffffffffffffff\r\n",
                                    "0\r\nno colon\r\n\r\n",
                                    "0\r\nA : b\r\n\r\n",
                                    "0\r\nA: b\n\n"};
  char out[512];
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    cr_assert_eq(feed(bad[i], strlen(bad[i]), out), HTTP1_BAD, "%s", bad[i]);
}

Test(http1, bounds_chunk_lines_and_trailers) {
  struct http1_body b = {.framing = HTTP_CHUNKED};
  char many[HTTP1_TRAILER_LIMIT + 64];
  memset(many, 'a', sizeof many);
  memcpy(many, "1;", 2);
  http_head_init(&head, fields, 16);
  head.framing = HTTP_CHUNKED;
  http1_body_init(&b, &head);
  struct slice in = slice_of(many, HTTP1_CHUNK_LINE_LIMIT + 2), span, value;
  cr_assert_eq(http1_body_next(&b, &in, &span, &value), HTTP1_BAD);
  memcpy(many, "0\r\n", 3);
  http1_body_init(&b, &head);
  in = slice_of(many, sizeof many);
  cr_assert_eq(http1_body_next(&b, &in, &span, &value), HTTP1_BAD);
}

Test(http1, writes_within_its_bounds) {
  char to[32];
  struct http1_out o = {to, to + sizeof to, false};
  http1_put_status_line(&o, 404, SLICE_NONE);
  cr_assert_not(o.failed);
  http1_put_field(&o, SLICE("a"), SLICE("much too long for it"));
  cr_assert(o.failed);
  cr_assert_eq(memcmp(to, "HTTP/1.1 404 Not Found\r\n", 24), 0);
  char chunk[HTTP1_CHUNK_HEAD_BYTES];
  cr_assert_eq(http1_chunk_head(chunk, 0xabc), 5);
  cr_assert_eq(memcmp(chunk, "abc\r\n", 5), 0);
}

Test(head, knows_an_authority) {
  static const char *const good[] = {"h",     "h:",       "h:80",    "1.2.3.4",
                                     "[::1]", "[::1]:80", "e%70.fr", "a_b-c.d~e,f;g"};
  static const char *const bad[] = {"",       ":80",   "h:x",     "h:65536", "h:1:2", "a b",
                                    "a@b",    "a/b",   "[::1",    "[]",      "[:::]", "[1:2]",
                                    "[::1]x", "[a.b]", "[::1%1]", "%",       "a%2",   "a%zz"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    cr_assert(http_is_authority(slice_str(good[i])), "%s", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    cr_assert_not(http_is_authority(slice_str(bad[i])), "%s", bad[i]);
}

Test(head, knows_what_may_trail) {
  cr_assert(http_field_may_trail(SLICE("X-Sum")) && http_field_may_trail(SLICE("grpc-status")));
  cr_assert_not(http_field_may_trail(SLICE("Content-Length")));
  cr_assert_not(http_field_may_trail(SLICE("SET-COOKIE")));
}

Test(head, knows_names_without_case) {
  for (int id = HTTP_OTHER + 1; id < HTTP_NAMES; id++)
    cr_assert_eq(http_name_find(http_name_text((enum http_name)id)), (enum http_name)id);
  cr_assert_eq(http_name_find(SLICE("CONTENT-length")), HTTP_CONTENT_LENGTH);
  cr_assert_eq(http_name_find(SLICE("content-lengtH2")), HTTP_OTHER);
}

Test(error_body, is_always_whole_json) {
  char body[ERROR_BODY_BYTES_MIN], message[2000];
  memset(message, '"', sizeof message);
  message[sizeof message - 1] = '\0';
  size_t n = http_error_body(body, sizeof body, message, "t", NULL, "c");
  cr_assert(n < sizeof body && body[n] == '\0');
  cr_assert_str_eq(body + n - 38, "\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}");
}

static enum json_member_result seek(const char *text, size_t cut, char *value) {
  struct json_member m;
  struct slice all = slice_str(text);
  json_member_init(&m, SLICE("model"));
  json_member_feed(&m, slice_of(all.data, cut));
  json_member_feed(&m, slice_skip(all, cut));
  snprintf(value, 300, "%.*s", SLICE_ARG(json_member_value(&m)));
  return m.result;
}

Test(json_member, is_found_wherever_the_text_is_cut) {
  static const struct {
    const char *text, *value;
    enum json_member_result result;
  } cases[] = {
      {"{\"model\":\"a\"}", "a", JSON_MEMBER_FOUND},
      {" {\"x\":[{\"model\":\"no\"},\"]\\\"\"],\"m\\u006fdel\" : \"g\\u00e9\\ud83d\\ude00/\\/\"",
       "g\u00e9\U0001f600//", JSON_MEMBER_FOUND},
      {"{\"y\":-1.5e3,\"z\":null,\"model\":\"first\",\"model\":\"second\"}", "first",
       JSON_MEMBER_FOUND},
      {"{\"model\":\"\\ud800x\"}", "\ufffdx", JSON_MEMBER_FOUND},
      {"{\"modelx\":\"a\",\"mode\":\"b\"}", NULL, JSON_MEMBER_ABSENT},
      {"{}", NULL, JSON_MEMBER_ABSENT},
      {"{\"model\":3}", NULL, JSON_MEMBER_BAD},
      {"[\"model\"]", NULL, JSON_MEMBER_BAD},
      {"model=a", NULL, JSON_MEMBER_BAD},
      {"{\"model\":\"a", NULL, JSON_MEMBER_MORE},
      {"{\"a\":1 \"model\":\"x\"}", NULL, JSON_MEMBER_BAD},
      {"{\"model\":\"a\nb\"}", NULL, JSON_MEMBER_BAD},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t cut = 0; cut <= strlen(cases[i].text); cut++) {
      char value[300];
      cr_assert_eq(seek(cases[i].text, cut, value), cases[i].result, "%s at %zu", cases[i].text,
                   cut);
      if (cases[i].value)
        cr_assert_str_eq(value, cases[i].value);
    }
}

Test(json_member, has_limits) {
  static char text[4096], value[300];
  memset(text, 'x', sizeof text - 1);
  memcpy(text, "{\"model\":\"", 10);
  strcpy(text + 10 + JSON_MEMBER_BYTES_MAX, "\"}");
  cr_assert_eq(seek(text, 5, value), JSON_MEMBER_FOUND);
  text[10 + JSON_MEMBER_BYTES_MAX] = 'x';
  strcpy(text + 11 + JSON_MEMBER_BYTES_MAX, "\"}");
  cr_assert_eq(seek(text, 5, value), JSON_MEMBER_BAD);
  memset(text, '[', sizeof text - 1);
  memcpy(text, "{\"x\":", 5);
  cr_assert_eq(seek(text, 5, value), JSON_MEMBER_BAD, "depth");
}

Test(http1, an_answer_of_no_length_is_over_with_its_head) {
  cr_assert_eq(response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP_GET), OK);
  cr_assert(head.framing == HTTP_NO_BODY && head.content_length == 0);
}

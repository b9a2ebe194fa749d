#include "json.h"

#include <stdlib.h>
#include <string.h>

enum json_type { JSON_STRING, JSON_SCALAR, JSON_CONTAINER };

static void json_set_model(struct json_scan *s, const char *text) {
  memcpy(s->model, text, strlen(text) + 1);
}

static void json_set_stream(struct json_scan *s, const char *text) {
  s->stream = !strcmp(text, "true");
}

static void json_set_usage(struct json_scan *s, const char *text) {
  s->include_usage = !strcmp(text, "true");
}

static void json_set_base64(struct json_scan *s, const char *text) {
  s->base64 = !strcmp(text, "base64");
}

static void json_set_tokens(struct json_scan *s, const char *text) {
  char *end;
  long n = strtol(text, &end, 10);
  if (end == text || n < 0)
    return;
  s->has_tokens = true;
  s->tokens = n;
}

static void json_set_input(struct json_scan *s, const char *text) {
  (void)text;
  s->inputs = 1;
}

static const struct json_member {
  const char *parent, *key;
  enum json_type type;
  void (*set)(struct json_scan *s, const char *text);
  bool any_length; /* the text itself is not looked at, so it need not have been kept */
} members[] = {
    {NULL, "model", JSON_STRING, json_set_model, false},
    {NULL, "stream", JSON_SCALAR, json_set_stream, false},
    {NULL, "max_tokens", JSON_SCALAR, json_set_tokens, false},
    {NULL, "max_completion_tokens", JSON_SCALAR, json_set_tokens, false},
    {"parameters", "max_new_tokens", JSON_SCALAR, json_set_tokens, false},
    {"stream_options", "include_usage", JSON_SCALAR, json_set_usage, false},
    {NULL, "encoding_format", JSON_STRING, json_set_base64, false},
    {NULL, "input", JSON_STRING, json_set_input, true},
};

/* A list of numbers is one text already cut into tokens; lists and strings are texts each. */
static void json_element(struct json_scan *s, enum json_type type) {
  if (strcmp(s->key[1], "input"))
    return;
  if (type == JSON_SCALAR)
    s->inputs = 1;
  else
    s->inputs++;
}

static void json_value(struct json_scan *s, enum json_type type) {
  if (s->depth < 1 || s->depth >= JSON_LEVELS || s->kind[1] != '{')
    return;
  if (s->kind[s->depth] == '[') {
    json_element(s, type);
    return;
  }
  for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
    const struct json_member *m = &members[i];
    if (m->type == type && (m->any_length || !s->too_long) && !m->parent == (s->depth == 1) &&
        !strcmp(s->key[s->depth], m->key) && (!m->parent || !strcmp(s->key[1], m->parent)))
      m->set(s, s->text);
  }
}

static void json_capture(struct json_scan *s, const char *at, size_t n) {
  if (s->depth >= JSON_LEVELS || s->too_long)
    return;
  s->too_long = s->text_len + n >= sizeof(s->text);
  if (s->too_long)
    return;
  memcpy(s->text + s->text_len, at, n);
  s->text_len += n;
  s->text[s->text_len] = 0;
}

static void json_capture_reset(struct json_scan *s) {
  s->text_len = 0;
  s->text[0] = 0;
  s->too_long = false;
}

static void json_end_scalar(struct json_scan *s) {
  if (!s->text_len)
    return;
  json_value(s, JSON_SCALAR);
  json_capture_reset(s);
}

static void json_end_key(struct json_scan *s) {
  char *key = s->key[s->depth];
  key[0] = 0;
  if (!s->too_long && s->text_len < JSON_KEY_MAX_BYTES)
    memcpy(key, s->text, s->text_len + 1);
}

static void json_end_string(struct json_scan *s) {
  s->in_string = false;
  if (s->is_key)
    json_end_key(s);
  else
    json_value(s, JSON_STRING);
  json_capture_reset(s);
}

/* Most of a request is inside strings, so they are taken in runs. Returns the bytes used. */
static size_t json_string_run(struct json_scan *s, const char *at, size_t len) {
  if (s->escaped) {
    s->escaped = false;
    json_capture(s, at, 1);
    return 1;
  }
  size_t n = 0;
  while (n < len && at[n] != '"' && at[n] != '\\')
    n++;
  json_capture(s, at, n);
  if (n == len)
    return n;
  if (at[n] == '"')
    json_end_string(s);
  else {
    s->escaped = true;
    json_capture(s, "\\", 1);
  }
  return n + 1;
}

static void json_open(struct json_scan *s, char kind) {
  json_value(s, JSON_CONTAINER);
  if (!s->depth && (s->began || kind != '{'))
    s->bad = true;
  s->began = true;
  if (++s->depth >= JSON_LEVELS)
    return;
  s->kind[s->depth] = kind;
  s->key_next[s->depth] = kind == '{';
  s->key[s->depth][0] = 0;
}

static void json_close(struct json_scan *s, char kind) {
  json_end_scalar(s);
  if (!s->depth || (s->depth < JSON_LEVELS && s->kind[s->depth] != kind))
    s->bad = true;
  else
    s->depth--;
}

static void json_string(struct json_scan *s) {
  s->in_string = true;
  s->is_key = s->depth && s->depth < JSON_LEVELS && s->key_next[s->depth];
  s->bad |= !s->depth;
  json_capture_reset(s);
}

static void json_mark(struct json_scan *s, bool comma) {
  json_end_scalar(s);
  if (s->depth && s->depth < JSON_LEVELS)
    s->key_next[s->depth] = comma && s->kind[s->depth] == '{';
}

static void json_byte(struct json_scan *s, const char *at) {
  switch (*at) {
  case ' ':
  case '\t':
  case '\r':
  case '\n':
    json_end_scalar(s);
    return;
  case '{':
  case '[':
    json_open(s, *at);
    return;
  case '}':
  case ']':
    json_close(s, *at == '}' ? '{' : '[');
    return;
  case '"':
    json_string(s);
    return;
  case ',':
  case ':':
    json_mark(s, *at == ',');
    return;
  default:
    s->bad |= !s->depth;
    json_capture(s, at, 1);
  }
}

void json_feed(struct json_scan *s, const char *data, size_t len) {
  for (size_t i = 0; i < len && !s->bad;) {
    if (s->in_string)
      i += json_string_run(s, data + i, len - i);
    else
      json_byte(s, data + i++);
  }
}

bool json_is_object(const struct json_scan *s) {
  return s->began && !s->bad && !s->depth && !s->in_string;
}

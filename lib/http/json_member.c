#include "lib/http/json_member.h"

enum state {
  AT_START,     /* before the object */
  AT_FIRST_KEY, /* behind its bracket: a key, or the end */
  AT_KEY,       /* behind a comma */
  IN_KEY,
  AT_COLON,
  AT_VALUE,
  IN_VALUE,  /* the one that is asked for */
  IN_STRING, /* of a value that is passed over */
  IN_NESTED, /* in brackets of such a value */
  IN_SCALAR, /* number, true, false, null */
  AT_COMMA,  /* behind a value */
};

void json_member_init(struct json_member *m, struct slice name) {
  *m = (struct json_member){.name = name};
}

struct slice json_member_value(const struct json_member *m) {
  return slice_of(m->text, m->len);
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void put(struct json_member *m, char c) {
  if (m->len < JSON_MEMBER_BYTES_MAX)
    m->text[m->len++] = c;
  else
    m->overflown = true;
}

static void put_code(struct json_member *m, uint32_t c) {
  if (c < 0x80) {
    put(m, (char)c);
  } else if (c < 0x800) {
    put(m, (char)(0xc0 | c >> 6));
    put(m, (char)(0x80 | (c & 0x3f)));
  } else if (c < 0x10000) {
    put(m, (char)(0xe0 | c >> 12));
    put(m, (char)(0x80 | (c >> 6 & 0x3f)));
    put(m, (char)(0x80 | (c & 0x3f)));
  } else {
    put(m, (char)(0xf0 | c >> 18));
    put(m, (char)(0x80 | (c >> 12 & 0x3f)));
    put(m, (char)(0x80 | (c >> 6 & 0x3f)));
    put(m, (char)(0x80 | (c & 0x3f)));
  }
}

enum { REPLACEMENT = 0xfffd };

/* A half without its other half stands for nothing. */
static void flush_half(struct json_member *m) {
  if (m->high)
    put_code(m, REPLACEMENT);
  m->high = 0;
}

static void take_code(struct json_member *m, uint32_t c) {
  bool low = c >= 0xdc00 && c <= 0xdfff;
  if (low && m->high) {
    put_code(m, 0x10000 + ((m->high - 0xd800) << 10) + (c - 0xdc00));
    m->high = 0;
    return;
  }
  flush_half(m);
  if (c >= 0xd800 && c <= 0xdbff)
    m->high = c;
  else
    put_code(m, low ? REPLACEMENT : c);
}

static bool take_hex(struct json_member *m, char c) {
  int digit = c >= '0' && c <= '9'   ? c - '0'
              : c >= 'a' && c <= 'f' ? c - 'a' + 10
              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                     : -1;
  if (digit < 0)
    return false;
  m->code = m->code << 4 | (uint32_t)digit;
  if (--m->hex_left == 0)
    take_code(m, m->code);
  return true;
}

static bool take_escape(struct json_member *m, char c) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  m->escaped = false;
  if (c == 'u') {
    m->hex_left = 4;
    m->code = 0;
    return true;
  }
  const char *at = c ? strchr(from, c) : NULL;
  if (!at)
    return false;
  flush_half(m);
  put(m, to[at - from]);
  return true;
}

/* A character of a string whose text matters. True: it was its end. False in *good: it must not
 * stand there. */
static bool take_text(struct json_member *m, char c, bool *good) {
  *good = true;
  if (m->hex_left) {
    *good = take_hex(m, c);
  } else if (m->escaped) {
    *good = take_escape(m, c);
  } else if (c == '\\') {
    m->escaped = true;
  } else if (c == '"') {
    flush_half(m);
    return true;
  } else if ((unsigned char)c < 0x20) {
    *good = false;
  } else {
    flush_half(m);
    put(m, c);
  }
  return false;
}

static void begin_text(struct json_member *m, enum state state) {
  m->len = 0;
  m->overflown = m->escaped = false;
  m->high = 0;
  m->hex_left = 0;
  m->state = state;
}

static enum json_member_result in_key(struct json_member *m, char c) {
  bool good;
  if (!take_text(m, c, &good))
    return good ? JSON_MEMBER_MORE : JSON_MEMBER_BAD;
  m->matches = !m->overflown && slice_equal(json_member_value(m), m->name);
  m->state = AT_COLON;
  return JSON_MEMBER_MORE;
}

static enum json_member_result in_value(struct json_member *m, char c) {
  bool good;
  if (!take_text(m, c, &good))
    return good && !m->overflown ? JSON_MEMBER_MORE : JSON_MEMBER_BAD;
  return m->overflown ? JSON_MEMBER_BAD : JSON_MEMBER_FOUND;
}

static enum json_member_result at_value(struct json_member *m, char c) {
  if (m->matches) {
    begin_text(m, IN_VALUE);
    return c == '"' ? JSON_MEMBER_MORE : JSON_MEMBER_BAD;
  }
  m->escaped = false;
  if (c == '"') {
    m->state = IN_STRING;
  } else if (c == '{' || c == '[') {
    m->state = IN_NESTED;
    m->depth = 1;
  } else if (c == '-' || (c >= '0' && c <= '9') || c == 't' || c == 'f' || c == 'n') {
    m->state = IN_SCALAR;
  } else {
    return JSON_MEMBER_BAD;
  }
  return JSON_MEMBER_MORE;
}

/* Of what is passed over; back to the brackets it stands in, if any. */
static enum json_member_result in_string(struct json_member *m, char c) {
  if (m->escaped)
    m->escaped = false;
  else if (c == '\\')
    m->escaped = true;
  else if (c == '"')
    m->state = m->depth ? IN_NESTED : AT_COMMA;
  return JSON_MEMBER_MORE;
}

static enum json_member_result in_nested(struct json_member *m, char c) {
  if (c == '"')
    m->state = IN_STRING;
  else if ((c == '{' || c == '[') && ++m->depth > JSON_MEMBER_DEPTH_MAX)
    return JSON_MEMBER_BAD;
  else if ((c == '}' || c == ']') && --m->depth == 0)
    m->state = AT_COMMA;
  return JSON_MEMBER_MORE;
}

static enum json_member_result at_comma(struct json_member *m, char c) {
  if (c == '}')
    return JSON_MEMBER_ABSENT;
  m->state = AT_KEY;
  return c == ',' ? JSON_MEMBER_MORE : JSON_MEMBER_BAD;
}

static enum json_member_result in_scalar(struct json_member *m, char c) {
  if (c == ',' || c == '}')
    return at_comma(m, c);
  if (is_blank(c))
    m->state = AT_COMMA;
  bool goes_on = is_blank(c) || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == 'E' ||
                 c == '.' || c == '+' || c == '-';
  return goes_on ? JSON_MEMBER_MORE : JSON_MEMBER_BAD;
}

static enum json_member_result at_key(struct json_member *m, char c) {
  if (c == '}' && m->state == AT_FIRST_KEY)
    return JSON_MEMBER_ABSENT;
  begin_text(m, IN_KEY);
  return c == '"' ? JSON_MEMBER_MORE : JSON_MEMBER_BAD;
}

/* Between tokens: the bracket in front, the colon. */
static enum json_member_result expect(struct json_member *m, char c, char wanted, enum state next) {
  m->state = next;
  return c == wanted ? JSON_MEMBER_MORE : JSON_MEMBER_BAD;
}

static enum json_member_result take(struct json_member *m, char c) {
  switch (m->state) {
  case IN_KEY:
    return in_key(m, c);
  case IN_VALUE:
    return in_value(m, c);
  case IN_STRING:
    return in_string(m, c);
  case IN_NESTED:
    return in_nested(m, c);
  case IN_SCALAR:
    return in_scalar(m, c);
  default:
    break;
  }
  if (is_blank(c))
    return JSON_MEMBER_MORE;
  switch (m->state) {
  case AT_START:
    return expect(m, c, '{', AT_FIRST_KEY);
  case AT_COLON:
    return expect(m, c, ':', AT_VALUE);
  case AT_VALUE:
    return at_value(m, c);
  case AT_COMMA:
    return at_comma(m, c);
  default:
    return at_key(m, c);
  }
}

/* The inside of a long string, at once. */
static size_t plain_run(const struct json_member *m, struct slice rest) {
  size_t n = 0;
  if (m->state != IN_STRING || m->escaped)
    return 0;
  while (n < rest.len && rest.data[n] != '"' && rest.data[n] != '\\')
    n++;
  return n;
}

enum json_member_result json_member_feed(struct json_member *m, struct slice bytes) {
  while (bytes.len && m->result == JSON_MEMBER_MORE) {
    bytes = slice_skip(bytes, plain_run(m, bytes));
    if (!bytes.len)
      break;
    m->result = take(m, bytes.data[0]);
    bytes = slice_skip(bytes, 1);
  }
  return m->result;
}

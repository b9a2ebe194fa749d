#include "lib/fleet/token_text.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/dirs.h"

static int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool token_unhex(const char *text, unsigned char hash[TOKEN_HASH_BYTES]) {
  if (!text || strlen(text) != 2 * TOKEN_HASH_BYTES)
    return false;
  for (int i = 0; i < TOKEN_HASH_BYTES; i++) {
    int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0)
      return false;
    hash[i] = (unsigned char)(high << 4 | low);
  }
  return true;
}

void token_hex(const unsigned char hash[TOKEN_HASH_BYTES], char hex[TOKEN_HEX_BYTES]) {
  for (int i = 0; i < TOKEN_HASH_BYTES; i++)
    snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

/* What says less than it was meant to would let in more: a member that is there is of its type. */
static bool is_string(const json_t *v) {
  return !v || json_is_null(v) || json_is_string(v);
}

static bool is_count(const json_t *v) {
  return !v || (json_is_integer(v) && json_integer_value(v) >= 0);
}

static bool is_rate(const json_t *v) {
  return !v || (json_is_number(v) && json_number_value(v) >= 0);
}

static bool is_strings(const json_t *v) {
  bool good = !v || json_is_array(v);
  for (size_t i = 0; good && i < json_array_size(v); i++)
    good = json_is_string(json_array_get(v, i));
  return good;
}

static bool is_token(const json_t *o) {
  return json_is_string(json_object_get(o, "name")) && is_string(json_object_get(o, "owner")) &&
         is_strings(json_object_get(o, "organisations")) &&
         is_strings(json_object_get(o, "endpoints")) && is_count(json_object_get(o, "created")) &&
         is_count(json_object_get(o, "expires")) &&
         is_count(json_object_get(o, "concurrency_max")) &&
         is_rate(json_object_get(o, "requests_per_s"));
}

static char **strings_read(const json_t *list) {
  size_t n = json_array_size(list);
  char **strings = calloc(n + 1, sizeof *strings);
  for (size_t i = 0; strings && i < n; i++)
    strings[i] = strdup(json_string_value(json_array_get(list, i)));
  return strings;
}

static enum err object_read(const json_t *o, struct token **out) {
  struct token *t = calloc(1, sizeof *t);
  if (!t)
    return ERR_MEMORY;
  if (!is_token(o) || !token_unhex(json_string_value(json_object_get(o, "sha256")), t->hash)) {
    token_free(t);
    return ERR_SYNTAX;
  }
  const char *owner = json_string_value(json_object_get(o, "owner"));
  t->name = strdup(json_string_value(json_object_get(o, "name")));
  t->owner = owner ? strdup(owner) : NULL;
  t->organisations = strings_read(json_object_get(o, "organisations"));
  t->endpoints = strings_read(json_object_get(o, "endpoints"));
  t->created_s = json_integer_value(json_object_get(o, "created"));
  t->expires_s = json_integer_value(json_object_get(o, "expires"));
  t->concurrency_max = json_integer_value(json_object_get(o, "concurrency_max"));
  t->requests_per_s = json_number_value(json_object_get(o, "requests_per_s"));
  *out = t;
  return OK;
}

enum err token_read(struct slice text, struct token **out) {
  json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
  enum err e = root ? object_read(root, out) : ERR_SYNTAX;
  json_decref(root);
  return e;
}

static enum err list_read(struct token_set *s, const json_t *root, const char *path,
                          struct buf *why) {
  const json_t *list = json_object_get(root, "tokens");
  if (!json_is_array(list)) {
    buf_printf(why, "%s: needs a list \"tokens\"", path);
    return ERR_SYNTAX;
  }
  for (size_t i = 0; i < json_array_size(list); i++) {
    struct token *t = NULL;
    enum err e = object_read(json_array_get(list, i), &t);
    if (e == ERR_SYNTAX)
      buf_printf(why,
                 "%s: tokens[%zu]: needs a \"name\", a \"sha256\" of 64 hexadecimal digits, lists "
                 "of strings, and times and limits that are not negative",
                 path, i);
    if (!e && (e = token_set_put(s, t)) == ERR_EXISTS)
      buf_printf(why, "%s: tokens[%zu]: the same token stands there twice", path, i);
    if (e)
      return e;
  }
  return OK;
}

enum err token_set_load(const char *path, struct token_set **set, struct buf *why) {
  struct token_set *s = token_set_new();
  if (!s)
    return ERR_MEMORY;
  json_error_t error;
  errno = 0;
  json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
  enum err e = OK;
  if (root)
    e = list_read(s, root, path, why);
  else if (access(path, F_OK) == 0 || errno != ENOENT) {
    buf_printf(why, "%s:%d:%d: %s", path, error.line > 0 ? error.line : 1,
               error.column > 0 ? error.column : 1, error.text);
    e = ERR_SYNTAX;
  }
  json_decref(root);
  if (e)
    token_set_unref(s);
  else
    *set = s;
  return e;
}

/* NULL when one is not UTF-8. */
static json_t *strings_write(char *const *strings) {
  json_t *list = json_array();
  bool good = list != NULL;
  for (; good && strings && *strings; strings++)
    good = json_array_append_new(list, json_string(*strings)) == 0;
  if (good)
    return list;
  json_decref(list);
  return NULL;
}

static json_t *object_write(const struct token *t) {
  char hex[TOKEN_HEX_BYTES];
  token_hex(t->hash, hex);
  return json_pack("{s:s,s:s,s:s?,s:o,s:o,s:I,s:I,s:I,s:f}", "name", t->name, "sha256", hex,
                   "owner", t->owner, "organisations", strings_write(t->organisations), "endpoints",
                   strings_write(t->endpoints), "created", (json_int_t)t->created_s, "expires",
                   (json_int_t)t->expires_s, "concurrency_max", (json_int_t)t->concurrency_max,
                   "requests_per_s", t->requests_per_s);
}

void token_write(const struct token *t, struct buf *out) {
  json_t *o = object_write(t);
  char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
  buf_str(out, text ? text : "");
  out->failed = out->failed || !text;
  free(text);
  json_decref(o);
}

static enum err write_file(const char *path, const char *text, const char *instead_of) {
  unlink(path); /* and never what another has put there, or made it point to */
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return ERR_IO;
  size_t len = strlen(text);
  dirs_leave_to_owner(fd, instead_of);
  bool good = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
  close(fd);
  return good ? OK : ERR_IO;
}

enum err token_set_save(const struct token_set *set, const char *path) {
  json_t *list = json_array();
  bool good = list != NULL;
  for (size_t i = 0; good && i < token_set_count(set); i++)
    good = json_array_append_new(list, object_write(token_set_at(set, i))) == 0;
  if (!good) {
    json_decref(list);
    return ERR_SYNTAX;
  }
  json_t *root = json_pack("{s:i,s:o}", "version", 1, "tokens", list);
  char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL, *temporary = NULL;
  json_decref(root);
  enum err e = text && asprintf(&temporary, "%s.new", path) >= 0 ? OK : ERR_MEMORY;
  if (!e)
    e = write_file(temporary, text, path);
  if (!e && rename(temporary, path))
    e = ERR_IO;
  free(text);
  free(temporary);
  return e;
}

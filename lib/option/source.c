#include "lib/option/source.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/wipe.h"
#include "lib/option/option.h"

enum { PATH_DEPTH_MAX = 16 };

/* Past a string whose opening quote is at p. */
static char *string_end(char *p) {
  for (p++; *p && *p != '"'; p++)
    if (*p == '\\' && p[1])
      p++;
  return *p ? p + 1 : p;
}

static char *blank(char *p, char *end) {
  for (; p < end; p++)
    if (*p != '\n')
      *p = ' ';
  return p;
}

static void blank_comments(char *p) {
  while (*p) {
    if (*p == '"') {
      p = string_end(p);
    } else if (p[0] == '/' && p[1] == '/') {
      p = blank(p, p + strcspn(p, "\n"));
    } else if (p[0] == '/' && p[1] == '*') {
      char *end = strstr(p + 2, "*/");
      p = blank(p, end ? end + 2 : p + strlen(p));
    } else {
      p++;
    }
  }
}

/* So are those in what the JSON library has made of it. */
__attribute__((constructor)) static void json_memory(void) {
  json_set_alloc_funcs(malloc, wipe_free);
}

static enum err read_text(const char *path, struct option_source *s, struct buf *why) {
  FILE *f = fopen(path, "re");
  if (f)
    setvbuf(f, NULL, _IONBF, 0);
  s->text = malloc(OPTION_FILE_BYTES_MAX + 1);
  if (!f || !s->text) {
    buf_printf(why, "%s: cannot be read: %s\n", path, strerror(errno));
    if (f)
      fclose(f);
    return ERR_IO;
  }
  s->len = fread(s->text, 1, OPTION_FILE_BYTES_MAX + 1, f);
  bool failed = ferror(f) || s->len > OPTION_FILE_BYTES_MAX;
  fclose(f);
  if (failed) {
    buf_printf(why, "%s: cannot be read: not a file, or larger than %d bytes\n", path,
               OPTION_FILE_BYTES_MAX);
    return ERR_IO;
  }
  s->text[s->len] = '\0';
  return OK;
}

static enum err parse(struct option_source *s, struct buf *why) {
  const char *path = s->path;
  blank_comments(s->text);
  json_error_t error;
  s->root = json_loadb(s->text, s->len, JSON_REJECT_DUPLICATES, &error);
  if (s->root && json_is_object(s->root))
    return OK;
  if (!s->root)
    buf_printf(why, "%s:%d:%d: not valid JSON: %s\n", path, error.line, error.column, error.text);
  else
    buf_printf(why, "%s:1:1: the file must hold one JSON object\n", path);
  option_source_close(s);
  return ERR_SYNTAX;
}

enum err option_source_read(const char *path, struct option_source *s, struct buf *why) {
  *s = (struct option_source){.path = path};
  enum err e = read_text(path, s, why);
  if (!e)
    return parse(s, why);
  option_source_close(s);
  return e;
}

enum err option_source_text(const char *label, struct slice text, struct option_source *s,
                            struct buf *why) {
  *s = (struct option_source){.path = label, .len = text.len};
  s->text = text.len <= OPTION_FILE_BYTES_MAX ? malloc(text.len + 1) : NULL;
  if (!s->text)
    return ERR_MEMORY;
  *(char *)mempcpy(s->text, text.data, text.len) = '\0';
  return parse(s, why);
}

void option_source_close(struct option_source *s) {
  json_decref(s->root);
  wipe_free(s->text); /* there may be secrets in it */
  s->root = NULL;
  s->text = NULL;
}

static char *blanks(char *p) {
  return p + strspn(p, " \t\r\n");
}

/* Past a value; the text is known to be valid. */
static char *value_end(char *p) {
  int depth = 0;
  for (;; p++) {
    if (*p == '"')
      p = string_end(p) - 1;
    else if (*p == '{' || *p == '[')
      depth++;
    else if (*p == '}' || *p == ']')
      depth--;
    if (!*p)
      return p;
    if (depth <= 0 &&
        (p[1] == ',' || p[1] == '}' || p[1] == ']' || p[1] == '\0' || strchr(" \t\r\n", p[1])))
      return p + 1;
  }
}

/* The member or element that a step of the path names; *value is where its value begins. */
static char *child_find(char *p, const struct option_path *step, char **value) {
  p = blanks(p);
  if (*p != (step->key ? '{' : '['))
    return NULL;
  p = blanks(p + 1);
  for (int i = 0; *p && *p != '}' && *p != ']'; i++) {
    char *start = p;
    bool found = !step->key && i == step->index;
    if (step->key) {
      size_t n = strlen(step->key);
      p = string_end(p);
      found = (size_t)(p - start) == n + 2 && memcmp(start + 1, step->key, n) == 0;
      p = blanks(blanks(p) + 1);
    }
    *value = p;
    if (found)
      return start;
    p = blanks(value_end(p));
    if (*p == ',')
      p = blanks(p + 1);
  }
  return NULL;
}

void option_source_locate(const struct option_source *s, const struct option_path *path, int *line,
                          int *column) {
  const struct option_path *steps[PATH_DEPTH_MAX];
  int depth = 0;
  for (; path && depth < PATH_DEPTH_MAX; path = path->up)
    steps[depth++] = path;
  char *found = blanks(s->text), *value = found;
  while (depth > 0) {
    char *child = child_find(value, steps[--depth], &value);
    if (!child)
      break;
    found = child;
  }
  *line = *column = 1;
  for (char *p = s->text; p < found; p++) {
    *column = *p == '\n' ? 1 : *column + 1;
    *line += *p == '\n';
  }
}

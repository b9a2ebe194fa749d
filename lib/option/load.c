#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/wipe.h"
#include "lib/option/option.h"
#include "lib/option/source.h"

enum {
  KEY_TEXT_BYTES = 512,
  SECRET_BYTES_MAX = 64 * 1024,
  SUGGEST_DISTANCE_MAX = 2,
  WORD_MAX = 48
};

struct option_load {
  struct option_source source;
  struct buf *errors;
  int error_count;
};

static size_t path_text(const struct option_path *p, char *to, size_t room) {
  size_t n = p->up ? path_text(p->up, to, room) : 0;
  if (n >= room)
    return n;
  if (!p->key)
    return n + (size_t)snprintf(to + n, room - n, "[%d]", p->index);
  return n + (size_t)snprintf(to + n, room - n, "%s%s", p->up ? "." : "", p->key);
}

void option_error(struct option_load *l, const struct option_path *at, const char *key,
                  const char *format, ...) {
  if (l->error_count++ >= OPTION_ERRORS_MAX)
    return;
  struct option_path here = {.up = at, .key = key};
  const struct option_path *path = key ? &here : at;
  int line, column;
  char text[KEY_TEXT_BYTES] = "";
  option_source_locate(&l->source, path, &line, &column);
  if (path)
    path_text(path, text, sizeof text);
  buf_printf(l->errors, "%s:%d:%d: %s%s", l->source.path, line, column, text, path ? ": " : "");
  char message[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  buf_str(l->errors, message);
  buf_str(l->errors, "\n");
}

static const char *type_word(const json_t *v) {
  switch (json_typeof(v)) {
  case JSON_OBJECT:
    return "an object";
  case JSON_ARRAY:
    return "a list";
  case JSON_STRING:
    return "a string";
  case JSON_INTEGER:
    return "a whole number";
  case JSON_REAL:
    return "a number";
  case JSON_NULL:
    return "null";
  default:
    return "true or false";
  }
}

static void wrong_type(struct option_load *l, const struct option_path *at, const json_t *v,
                       const char *wanted) {
  option_error(l, at, NULL, "must be %s, not %s", wanted, type_word(v));
}

static int smallest(int a, int b, int c) {
  int m = a < b ? a : b;
  return m < c ? m : c;
}

/* How many letters must change (Levenshtein). */
static int distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  if (n > WORD_MAX || m > WORD_MAX)
    return WORD_MAX;
  int row[WORD_MAX + 1];
  for (size_t j = 0; j <= m; j++)
    row[j] = (int)j;
  for (size_t i = 1; i <= n; i++) {
    int corner = row[0];
    row[0] = (int)i;
    for (size_t j = 1; j <= m; j++) {
      int above = row[j];
      row[j] = smallest(above + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1]));
      corner = above;
    }
  }
  return row[m];
}

static void unknown_key(struct option_load *l, const struct option_path *at,
                        const struct option_table *table, const char *key) {
  const char *best = NULL;
  int best_distance = SUGGEST_DISTANCE_MAX + 1;
  for (const struct option_row *row = table->rows; row->key; row++) {
    int d = distance(key, row->key);
    if (d < best_distance) {
      best_distance = d;
      best = row->key;
    }
  }
  if (best)
    option_error(l, at, key, "unknown key; did you mean \"%s\"?", best);
  else
    option_error(l, at, key, "unknown key; see docs/config.md for the keys that are allowed here");
}

static void load_number(struct option_load *l, const struct option_path *at,
                        const struct option_row *row, const json_t *v, void *to) {
  bool real = row->type == OPTION_REAL;
  if (!(real ? json_is_number(v) : json_is_integer(v))) {
    wrong_type(l, at, v, real ? "a number" : "a whole number");
    return;
  }
  double n = json_number_value(v);
  if (n < row->min || n > row->max) {
    option_error(l, at, NULL, "%.17g is out of range; allowed is %.17g to %.17g%s%s", n, row->min,
                 row->max, row->unit ? " " : "", row->unit ? row->unit : "");
    return;
  }
  if (real)
    *(double *)to = n;
  else
    *(int64_t *)to = json_integer_value(v);
}

static void load_octal(struct option_load *l, const struct option_path *at, const json_t *v,
                       int64_t *to) {
  const char *text = json_string_value(v);
  char *end = NULL;
  long mode = text ? strtol(text, &end, 8) : -1;
  if (!text || !*text || *end || mode < 0 || mode > 0777)
    option_error(l, at, NULL, "must be a file mode as a string, \"0600\" for example");
  else
    *to = mode;
}

static void load_word(struct option_load *l, const struct option_path *at,
                      const struct option_row *row, const json_t *v, int *to) {
  const char *text = json_string_value(v);
  char allowed[256] = "";
  for (int i = 0; row->words[i]; i++) {
    if (text && strcmp(text, row->words[i]) == 0) {
      *to = i;
      return;
    }
    size_t n = strlen(allowed);
    snprintf(allowed + n, sizeof allowed - n, "%s\"%s\"", i ? ", " : "", row->words[i]);
  }
  if (text)
    option_error(l, at, NULL, "\"%s\" is not known; allowed is %s", text, allowed);
  else
    option_error(l, at, NULL, "must be one of %s, not %s", allowed, type_word(v));
}

static char *secret_from_file(const char *path) {
  FILE *f = fopen(path, "re");
  if (!f)
    return NULL;
  setvbuf(f, NULL, _IONBF, 0); /* a buffer would keep it */
  char *text = calloc(1, SECRET_BYTES_MAX + 1);
  size_t n = text ? fread(text, 1, SECRET_BYTES_MAX, f) : 0;
  fclose(f);
  while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
    text[--n] = '\0';
  return text;
}

/* The text itself, or what it points to; NULL after an error. */
static char *secret_resolve(struct option_load *l, const struct option_path *at, const char *text) {
  if (strncmp(text, "env:", 4) == 0) {
    const char *value = getenv(text + 4);
    if (!value)
      option_error(l, at, NULL, "the environment has no variable %s; set it, or use file:PATH",
                   text + 4);
    return value ? strdup(value) : NULL;
  }
  if (strncmp(text, "file:", 5) == 0) {
    char *value = secret_from_file(text + 5);
    if (!value)
      option_error(l, at, NULL, "the file %s cannot be read (%s); check path and permissions",
                   text + 5, strerror(errno));
    return value;
  }
  return strdup(text);
}

static void load_string(struct option_load *l, const struct option_path *at, bool secret,
                        const json_t *v, char **to) {
  if (!json_is_string(v))
    wrong_type(l, at, v, "a string");
  else
    *to = secret ? secret_resolve(l, at, json_string_value(v)) : strdup(json_string_value(v));
}

static void load_strings(struct option_load *l, const struct option_path *at, const json_t *v,
                         char ***to) {
  if (!json_is_array(v)) {
    wrong_type(l, at, v, "a list of strings");
    return;
  }
  size_t n = json_array_size(v), used = 0;
  *to = calloc(n + 1, sizeof **to);
  for (size_t i = 0; *to && i < n; i++) {
    struct option_path here = {.up = at, .index = (int)i};
    load_string(l, &here, false, json_array_get(v, i), &(*to)[used]);
    used += (*to)[used] != NULL;
  }
}

static void load_pairs(struct option_load *l, const struct option_path *at, json_t *v, char ***to) {
  if (!json_is_object(v)) {
    wrong_type(l, at, v, "an object of names and strings");
    return;
  }
  *to = calloc(json_object_size(v) + 1, sizeof **to);
  size_t used = 0;
  const char *name;
  json_t *value;
  json_object_foreach(v, name, value) {
    struct option_path here = {.up = at, .key = name};
    char *text = NULL;
    load_string(l, &here, true, value, &text);
    if (text && *to && asprintf(&(*to)[used], "%s=%s", name, text) >= 0)
      used++;
    free(text);
  }
}

static void load_table(struct option_load *l, const struct option_path *at,
                       const struct option_table *table, json_t *given, void *object);

static void load_objects(struct option_load *l, const struct option_path *at,
                         const struct option_row *row, json_t *v, char *object) {
  if (!json_is_array(v)) {
    wrong_type(l, at, v, "a list of objects");
    return;
  }
  size_t n = json_array_size(v);
  char *array = calloc(n + 1, row->table->size);
  *(void **)(object + row->offset) = array;
  *(int *)(object + row->count_offset) = array ? (int)n : 0;
  for (size_t i = 0; array && i < n; i++) {
    struct option_path here = {.up = at, .index = (int)i};
    load_table(l, &here, row->table, json_array_get(v, i), array + i * row->table->size);
  }
}

static void load_map(struct option_load *l, const struct option_path *at,
                     const struct option_row *row, json_t *v, char *object) {
  if (!json_is_object(v)) {
    wrong_type(l, at, v, "an object");
    return;
  }
  void **array = calloc(json_object_size(v) + 1, sizeof *array);
  int *count = (int *)(object + row->count_offset);
  *(void ***)(object + row->offset) = array;
  const char *name;
  json_t *value;
  json_object_foreach(v, name, value) {
    struct option_path here = {.up = at, .key = name};
    char **member = array ? calloc(1, row->table->size) : NULL;
    if (!member)
      return;
    array[(*count)++] = member;
    *member = strdup(name);
    load_table(l, &here, row->table, value, member);
  }
}

static void load_value(struct option_load *l, const struct option_path *at,
                       const struct option_row *row, json_t *v, char *object) {
  void *to = object + row->offset;
  switch (row->type) {
  case OPTION_BOOL:
    if (json_is_boolean(v))
      *(bool *)to = json_is_true(v);
    else
      wrong_type(l, at, v, "true or false");
    break;
  case OPTION_INTEGER:
  case OPTION_REAL:
    load_number(l, at, row, v, to);
    break;
  case OPTION_OCTAL:
    load_octal(l, at, v, to);
    break;
  case OPTION_STRING:
  case OPTION_SECRET:
    load_string(l, at, row->type == OPTION_SECRET, v, to);
    break;
  case OPTION_WORD:
    load_word(l, at, row, v, to);
    break;
  case OPTION_STRINGS:
    load_strings(l, at, v, to);
    break;
  case OPTION_PAIRS:
    load_pairs(l, at, v, to);
    break;
  case OPTION_OBJECT:
    if (row->given_offset)
      *(bool *)(object + row->given_offset) = true;
    load_table(l, at, row->table, v, to);
    break;
  case OPTION_OBJECTS:
    load_objects(l, at, row, v, object);
    break;
  case OPTION_MAP:
    load_map(l, at, row, v, object);
    break;
  }
}

static void load_row(struct option_load *l, const struct option_path *at,
                     const struct option_row *row, json_t *given, char *object) {
  struct option_path here = {.up = at, .key = row->key};
  json_t *v = given ? json_object_get(given, row->key) : NULL;
  if (v) {
    load_value(l, &here, row, v, object);
  } else if (row->required) {
    option_error(l, at, NULL, "the key \"%s\" is missing: %s", row->key, row->help);
  } else if (row->type == OPTION_OBJECT) {
    load_table(l, &here, row->table, NULL, object + row->offset);
  } else if (row->standard) {
    json_t *standard = json_loads(row->standard, JSON_DECODE_ANY, NULL);
    if (standard)
      load_value(l, &here, row, standard, object);
    json_decref(standard);
  }
}

static const struct option_row *row_find(const struct option_table *table, const char *key) {
  for (const struct option_row *row = table->rows; row->key; row++)
    if (strcmp(row->key, key) == 0)
      return row;
  return NULL;
}

static void load_table(struct option_load *l, const struct option_path *at,
                       const struct option_table *table, json_t *given, void *object) {
  if (given && !json_is_object(given)) {
    wrong_type(l, at, given, "an object");
    return;
  }
  const char *key;
  json_t *value;
  json_object_foreach(given, key, value) {
    if (!row_find(table, key))
      unknown_key(l, at, table, key);
  }
  int before = l->error_count;
  for (const struct option_row *row = table->rows; row->key; row++)
    load_row(l, at, row, given, object);
  if (table->check && l->error_count == before)
    table->check(l, at, given, object);
}

static bool same_strings(char *const *a, char *const *b) {
  for (; a && b && *a && *b; a++, b++)
    if (strcmp(*a, *b) != 0)
      return false;
  return !(a && *a) && !(b && *b);
}

static bool same_text(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_value(const struct option_row *row, const void *a, const void *b) {
  switch (row->type) {
  case OPTION_BOOL:
    return *(const bool *)a == *(const bool *)b;
  case OPTION_INTEGER:
  case OPTION_OCTAL:
    return *(const int64_t *)a == *(const int64_t *)b;
  case OPTION_REAL:
    return *(const double *)a == *(const double *)b;
  case OPTION_WORD:
    return *(const int *)a == *(const int *)b;
  case OPTION_STRING:
  case OPTION_SECRET:
    return same_text(*(char *const *)a, *(char *const *)b);
  case OPTION_STRINGS:
  case OPTION_PAIRS:
    return same_strings(*(char **const *)a, *(char **const *)b);
  default:
    return true;
  }
}

static bool same_member(const struct option_row *row, const char *a, const char *b) {
  const void *x = a + row->offset, *y = b + row->offset;
  if (row->type == OPTION_OBJECT)
    return option_same(row->table, x, y) &&
           (!row->given_offset ||
            *(const bool *)(a + row->given_offset) == *(const bool *)(b + row->given_offset));
  if (row->type < OPTION_OBJECTS)
    return same_value(row, x, y);
  int count = *(const int *)(a + row->count_offset);
  bool same = count == *(const int *)(b + row->count_offset);
  for (int i = 0; same && i < count; i++)
    if (row->type == OPTION_OBJECTS) {
      size_t at = (size_t)i * row->table->size;
      same = option_same(row->table, *(char *const *)x + at, *(char *const *)y + at);
    } else {
      char *const *m = (*(char **const *const *)x)[i], *const *n = (*(char **const *const *)y)[i];
      same = strcmp(*m, *n) == 0 && option_same(row->table, m, n);
    }
  return same;
}

bool option_same(const struct option_table *table, const void *a, const void *b) {
  for (const struct option_row *row = table->rows; row->key; row++)
    if (!same_member(row, a, b))
      return false;
  return true;
}

/* What is read at the start only may not be another now. */
static void compare_table(struct option_load *l, const struct option_path *at,
                          const struct option_table *table, const char *running,
                          const char *object) {
  for (const struct option_row *row = table->rows; row->key; row++) {
    struct option_path here = {.up = at, .key = row->key};
    if (row->type == OPTION_OBJECT)
      compare_table(l, &here, row->table, running + row->offset, object + row->offset);
    else if (row->reload == OPTION_RESTART &&
             !same_value(row, running + row->offset, object + row->offset))
      option_error(l, &here, NULL,
                   "cannot change while the process runs; put the old value back, or restart");
  }
}

static enum err load_source(struct option_load *l, const struct option_table *table,
                            const void *running, void *object) {
  load_table(l, NULL, table, l->source.root, object);
  if (running && l->error_count == 0)
    compare_table(l, NULL, table, running, object);
  option_source_close(&l->source);
  if (l->error_count == 0)
    return OK;
  if (l->error_count > OPTION_ERRORS_MAX)
    buf_printf(l->errors, "%s: and %d more\n", l->source.path, l->error_count - OPTION_ERRORS_MAX);
  option_free(table, object);
  return ERR_SYNTAX;
}

enum err option_load_file(const struct option_table *table, const char *path, void *object,
                          struct buf *errors) {
  struct option_load l = {.errors = errors};
  enum err e = option_source_read(path, &l.source, errors);
  return e ? e : load_source(&l, table, NULL, object);
}

enum err option_reload_file(const struct option_table *table, const char *path, const void *running,
                            void *object, struct buf *errors) {
  struct option_load l = {.errors = errors};
  enum err e = option_source_read(path, &l.source, errors);
  return e ? e : load_source(&l, table, running, object);
}

enum err option_load_text(const struct option_table *table, const char *label, struct slice text,
                          void *object, struct buf *errors) {
  struct option_load l = {.errors = errors};
  enum err e = option_source_text(label, text, &l.source, errors);
  return e ? e : load_source(&l, table, NULL, object);
}

static void strings_free(char **strings) {
  for (char **s = strings; s && *s; s++)
    free(*s);
  free(strings);
}

static void free_row(const struct option_row *row, char *object) {
  void *at = object + row->offset;
  int count = row->type >= OPTION_OBJECTS ? *(int *)(object + row->count_offset) : 0;
  if (row->type == OPTION_STRING) {
    free(*(char **)at);
  } else if (row->type == OPTION_SECRET) {
    wipe_free(*(char **)at);
  } else if (row->type == OPTION_STRINGS || row->type == OPTION_PAIRS) {
    strings_free(*(char ***)at);
  } else if (row->type == OPTION_OBJECT) {
    for (const struct option_row *r = row->table->rows; r->key; r++)
      free_row(r, at);
  } else if (row->type == OPTION_OBJECTS) {
    for (int i = 0; i < count; i++)
      option_free(row->table, *(char **)at + (size_t)i * row->table->size);
    free(*(void **)at);
  } else if (row->type == OPTION_MAP) {
    for (int i = 0; i < count; i++) {
      char **member = (*(char ****)at)[i];
      free(*member);
      option_free(row->table, member);
      free(member);
    }
    free(*(void **)at);
  }
}

void option_free(const struct option_table *table, void *object) {
  for (const struct option_row *row = table->rows; row->key; row++)
    free_row(row, object);
  memset(object, 0, table->size);
}

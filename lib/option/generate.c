#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/option/option.h"

static bool has_table(const struct option_row *row) {
  return row->type >= OPTION_OBJECT;
}

static void bounds_text(const struct option_row *row, char *to, size_t room) {
  static const char *const words[] = {[OPTION_BOOL] = "true or false",
                                      [OPTION_OCTAL] = "file mode",
                                      [OPTION_STRING] = "string",
                                      [OPTION_SECRET] = "string, env:NAME or file:PATH",
                                      [OPTION_STRINGS] = "list of strings",
                                      [OPTION_PAIRS] = "object of strings (or env:NAME, file:PATH)",
                                      [OPTION_OBJECT] = "object",
                                      [OPTION_OBJECTS] = "list of objects",
                                      [OPTION_MAP] = "objects by name"};
  if (row->type == OPTION_INTEGER || row->type == OPTION_REAL)
    snprintf(to, room, "%.17g to %.17g%s%s", row->min, row->max, row->unit ? " " : "",
             row->unit ? row->unit : "");
  else if (row->type == OPTION_WORD)
    for (int i = 0, n = 0; row->words[i] && n < (int)room; i++)
      n += snprintf(to + n, room - (size_t)n, "%s%s", i ? ", " : "", row->words[i]);
  else
    snprintf(to, room, "%s", words[row->type]);
}

static void reference_rows(const struct option_table *table, const char *prefix, struct buf *out) {
  for (const struct option_row *row = table->rows; row->key; row++) {
    char bounds[256], path[256];
    bounds_text(row, bounds, sizeof bounds);
    snprintf(path, sizeof path, "%s%s%s", prefix, row->key,
             row->type == OPTION_MAP       ? ".NAME."
             : row->type == OPTION_OBJECTS ? "[]."
                                           : ".");
    if (has_table(row)) {
      buf_printf(
          out,
          "\n## %.*s\n\n%s\n\n| key | allowed | default | reload | what |\n|---|---|---|---|---|\n",
          (int)strlen(path) - 1, path, row->help);
      reference_rows(row->table, path, out);
      continue;
    }
    buf_printf(out, "| `%s%s` | %s | %s%s%s | %s | %s |\n", prefix, row->key, bounds,
               row->standard ? "`" : "",
               row->standard   ? row->standard
               : row->required ? "required"
                               : "",
               row->standard ? "`" : "", row->reload == OPTION_LIVE ? "live" : "restart",
               row->help);
  }
}

void option_reference(const struct option_table *table, struct buf *out) {
  reference_rows(table, "", out);
}

static json_t *schema_of(const struct option_table *table);

static json_t *schema_row(const struct option_row *row) {
  static const char *const types[] = {
      [OPTION_BOOL] = "boolean",  [OPTION_INTEGER] = "integer", [OPTION_OCTAL] = "string",
      [OPTION_REAL] = "number",   [OPTION_STRING] = "string",   [OPTION_SECRET] = "string",
      [OPTION_WORD] = "string",   [OPTION_STRINGS] = "array",   [OPTION_PAIRS] = "object",
      [OPTION_OBJECT] = "object", [OPTION_OBJECTS] = "array",   [OPTION_MAP] = "object"};
  json_t *s = row->type == OPTION_OBJECT ? schema_of(row->table)
                                         : json_pack("{s:s}", "type", types[row->type]);
  json_object_set_new(s, "description", json_string(row->help));
  if (row->type == OPTION_INTEGER || row->type == OPTION_REAL) {
    json_object_set_new(s, "minimum",
                        row->type == OPTION_REAL ? json_real(row->min)
                                                 : json_integer((json_int_t)row->min));
    json_object_set_new(s, "maximum",
                        row->type == OPTION_REAL ? json_real(row->max)
                                                 : json_integer((json_int_t)row->max));
  }
  for (int i = 0; row->type == OPTION_WORD && row->words[i]; i++) {
    if (i == 0)
      json_object_set_new(s, "enum", json_array());
    json_array_append_new(json_object_get(s, "enum"), json_string(row->words[i]));
  }
  if (row->type == OPTION_STRINGS)
    json_object_set_new(s, "items", json_pack("{s:s}", "type", "string"));
  else if (row->type == OPTION_OBJECTS)
    json_object_set_new(s, "items", schema_of(row->table));
  else if (row->type == OPTION_PAIRS)
    json_object_set_new(s, "additionalProperties", json_pack("{s:s}", "type", "string"));
  else if (row->type == OPTION_MAP)
    json_object_set_new(s, "additionalProperties", schema_of(row->table));
  if (row->standard)
    json_object_set_new(s, "default", json_loads(row->standard, JSON_DECODE_ANY, NULL));
  return s;
}

static json_t *schema_of(const struct option_table *table) {
  json_t *properties = json_object(), *required = json_array();
  for (const struct option_row *row = table->rows; row->key; row++) {
    json_object_set_new(properties, row->key, schema_row(row));
    if (row->required)
      json_array_append_new(required, json_string(row->key));
  }
  json_t *s = json_pack("{s:s,s:b,s:o}", "type", "object", "additionalProperties", 0, "properties",
                        properties);
  if (json_array_size(required))
    json_object_set(s, "required", required);
  json_decref(required);
  return s;
}

static void dump(json_t *value, struct buf *out) {
  char *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
  buf_str(out, text ? text : "");
  buf_str(out, "\n");
  free(text);
  json_decref(value);
}

void option_schema(const struct option_table *table, const char *title, struct buf *out) {
  json_t *s = schema_of(table);
  json_object_set_new(s, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
  json_object_set_new(s, "title", json_string(title));
  dump(s, out);
}

/* Whether a row stands in the example itself, and not as a comment. */
static bool shown(const struct option_row *row) {
  return row->standard || row->sample || has_table(row);
}

/* A list whose elements cannot be made from defaults stays empty. */
static bool has_sample(const struct option_row *row) {
  for (const struct option_row *r = row->table->rows; r->key; r++)
    if (r->required && !r->standard && !r->sample)
      return false;
  return true;
}

static const char *comma_after(const struct option_row *row) {
  for (row++; row->key; row++)
    if (shown(row))
      return ",";
  return "";
}

static void example_rows(const struct option_table *table, int depth, struct buf *out);

static void example_table(const struct option_row *row, int depth, struct buf *out) {
  bool list = row->type == OPTION_OBJECTS, map = row->type == OPTION_MAP;
  buf_printf(out, "%*s\"%s\": ", depth * 2, "", row->key);
  if (row->type != OPTION_OBJECT && !has_sample(row)) {
    buf_printf(out, "%s%s\n", list ? "[]" : "{}", comma_after(row));
    return;
  }
  buf_str(out, list ? "[{\n" : map ? "{ \"example\": {\n" : "{\n");
  example_rows(row->table, depth + 1, out);
  buf_printf(out, "%*s}%s%s\n", depth * 2, "", list ? "]" : map ? " }" : "", comma_after(row));
}

static void example_rows(const struct option_table *table, int depth, struct buf *out) {
  int pad = depth * 2;
  for (const struct option_row *row = table->rows; row->key; row++) {
    char bounds[256];
    bounds_text(row, bounds, sizeof bounds);
    buf_printf(out, "%*s// %s\n", pad, "", row->help);
    if (has_table(row)) {
      example_table(row, depth, out);
      continue;
    }
    buf_printf(out, "%*s// (%s)\n", pad, "", bounds);
    if (shown(row))
      buf_printf(out, "%*s\"%s\": %s%s\n", pad, "", row->key,
                 row->sample ? row->sample : row->standard, comma_after(row));
    else
      buf_printf(out, "%*s// \"%s\": ...\n", pad, "", row->key);
  }
}

void option_example(const struct option_table *table, struct buf *out) {
  buf_str(out, "{\n");
  example_rows(table, 1, out);
  buf_str(out, "}\n");
}

static json_t *values_of(const struct option_table *table, const char *object);

static json_t *strings_value(char *const *strings, bool pairs) {
  json_t *v = pairs ? json_object() : json_array();
  for (; strings && *strings; strings++) {
    const char *equals = pairs ? strchr(*strings, '=') : NULL;
    if (equals)
      json_object_setn_new(v, *strings, (size_t)(equals - *strings), json_string("***"));
    else if (!pairs)
      json_array_append_new(v, json_string(*strings));
  }
  return v;
}

/* NULL: there is none. */
static json_t *value_of(const struct option_row *row, const char *object) {
  const void *at = object + row->offset;
  char octal[16];
  switch (row->type) {
  case OPTION_BOOL:
    return json_boolean(*(const bool *)at);
  case OPTION_INTEGER:
    return json_integer(*(const int64_t *)at);
  case OPTION_OCTAL:
    snprintf(octal, sizeof octal, "%04o", (unsigned)*(const int64_t *)at);
    return json_string(octal);
  case OPTION_REAL:
    return json_real(*(const double *)at);
  case OPTION_STRING:
    return *(char *const *)at ? json_string(*(char *const *)at) : NULL;
  case OPTION_SECRET:
    return *(char *const *)at ? json_string("***") : NULL;
  case OPTION_WORD:
    return json_string(row->words[*(const int *)at]);
  case OPTION_STRINGS:
  case OPTION_PAIRS:
    return strings_value(*(char *const *const *)at, row->type == OPTION_PAIRS);
  default:
    break;
  }
  if (row->type == OPTION_OBJECT && row->given_offset &&
      !*(const bool *)(object + row->given_offset))
    return NULL;
  if (row->type == OPTION_OBJECT)
    return values_of(row->table, at);
  int count = *(const int *)(object + row->count_offset);
  json_t *v = row->type == OPTION_MAP ? json_object() : json_array();
  for (int i = 0; i < count; i++)
    if (row->type == OPTION_OBJECTS) {
      json_array_append_new(
          v, values_of(row->table, *(char *const *)at + (size_t)i * row->table->size));
    } else {
      const char *member = (*(char *const *const *)at)[i];
      json_object_set_new(v, *(char *const *)member, values_of(row->table, member));
    }
  return v;
}

static json_t *values_of(const struct option_table *table, const char *object) {
  json_t *v = json_object();
  for (const struct option_row *row = table->rows; row->key; row++) {
    json_t *value = value_of(row, object);
    if (value)
      json_object_set_new(v, row->key, value);
  }
  return v;
}

void option_values(const struct option_table *table, const void *object, struct buf *out) {
  dump(values_of(table, object), out);
}

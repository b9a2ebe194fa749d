/* Options as rows: one row is a name, a type, bounds, a default, how it is reloaded
 * and its help. Loading, the reference page, the JSON Schema, the example file and
 * the effective values all follow the rows.
 *
 * The file is JSON (RFC 8259) with // and block comments. Every fault is reported as
 * FILE:LINE:COLUMN: KEY: what is wrong, what is allowed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct buf;
struct json_t;
struct option_load;
struct option_path;
struct option_row;

enum option_type {
  OPTION_BOOL,    /* bool */
  OPTION_INTEGER, /* int64_t, min to max */
  OPTION_OCTAL,   /* int64_t, written as a string: a file mode */
  OPTION_REAL,    /* double, min to max */
  OPTION_STRING,  /* char * */
  OPTION_SECRET,  /* char *: the text, or env:NAME, or file:PATH; never shown */
  OPTION_WORD,    /* an enum as int: the index in `words`; or char * when `offset_text` */
  OPTION_STRINGS, /* char **, NULL-terminated */
  OPTION_PAIRS,   /* char **, NULL-terminated: "NAME=value"; values may be env: or file: */
  OPTION_OBJECT,  /* the members of `table`, in the struct at `offset` */
  OPTION_OBJECTS, /* an array of such structs, and an int at `count_offset` */
  OPTION_MAP,     /* by name: an array of pointers to such structs, whose first member is
                     char *name; and an int at `count_offset` */
};

enum option_reload { OPTION_LIVE, OPTION_RESTART };

struct option_table {
  size_t size;                   /* of the struct */
  const struct option_row *rows; /* ends with a row without key */
  /* What no single row can say; faults go to option_error. `given` is what the file
   * has, perhaps NULL. */
  void (*check)(struct option_load *l, const struct option_path *at, struct json_t *given,
                void *object);
};

struct option_row {
  const char *key;
  enum option_type type;
  size_t offset, count_offset;
  double min, max;          /* of numbers */
  const char *unit;         /* "s", "ms", "bytes", or NULL */
  const char *standard;     /* the default as JSON text; NULL: none (numbers 0, texts NULL) */
  const char *sample;       /* for the example file, instead of the default */
  const char *const *words; /* NULL-terminated */
  const struct option_table *table;
  bool required;
  size_t given_offset; /* of a bool that says whether an object was given; 0: none */
  enum option_reload reload;
  const char *help;
};

/* Where a value stands, from the inside out. Lives on the loader's stack. */
struct option_path {
  const struct option_path *up;
  const char *key; /* NULL: an element, by index */
  int index;
};

enum { OPTION_ERRORS_MAX = 20, OPTION_FILE_BYTES_MAX = 4 << 20 };

/* Fills *object (zeroed, table->size bytes) from the file. All faults, one a line,
 * go to *errors; then the outcome is ERR_SYNTAX and the object is empty again. */
enum err option_load_file(const struct option_table *table, const char *path, void *object,
                          struct buf *errors) MUST_CHECK;
/* The same for a process that runs with *running: rows with OPTION_RESTART must still say what
 * they say there, else each is a fault, named with its place and the remedy. Members of lists and
 * maps are not compared. */
enum err option_reload_file(const struct option_table *table, const char *path, const void *running,
                            void *object, struct buf *errors) MUST_CHECK;
/* The same as option_load_file from a text, which `label` names in messages. */
enum err option_load_text(const struct option_table *table, const char *label, struct slice text,
                          void *object, struct buf *errors) MUST_CHECK;
/* Frees what the members own, not the object; it is zeroed. */
void option_free(const struct option_table *table, void *object);
/* From a check function: the value of `key` below `at` (NULL: `at` itself) is wrong. */
void option_error(struct option_load *l, const struct option_path *at, const char *key,
                  const char *format, ...) PRINTF(4, 5);

/* Whether two objects say the same, whatever is in them. */
bool option_same(const struct option_table *table, const void *a, const void *b);

/* Generated from the rows: Markdown, JSON Schema (draft 2020-12), a file with every
 * option at its default and its help as a comment, and the values of *object, which can be loaded
 * again but for its secrets. */
void option_reference(const struct option_table *table, struct buf *out);
void option_schema(const struct option_table *table, const char *title, struct buf *out);
void option_example(const struct option_table *table, struct buf *out);
void option_values(const struct option_table *table, const void *object, struct buf *out);

/* Option rows: loading, defaults, faults with their places. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/option/option.h"

struct inner {
  char *name;
  int64_t n;
};

struct thing {
  bool flag;
  int64_t count;
  double share;
  char *text, *secret;
  char **list;
  int word;
  struct inner *inners;
  int inner_count;
};

static const char *const words[] = {"zero", "one", NULL};

static const struct option_table inner_table = {
    sizeof(struct inner),
    (const struct option_row[]){
        {"name", OPTION_STRING, offsetof(struct inner, name), .required = true, .help = "A name."},
        {"n", OPTION_INTEGER, offsetof(struct inner, n), .min = 0, .max = 9, .standard = "7",
         .help = "A number."},
        {NULL}},
    NULL};

static const struct option_table table = {
    sizeof(struct thing),
    (const struct option_row[]){
        {"flag", OPTION_BOOL, offsetof(struct thing, flag), .standard = "true", .help = "A flag."},
        {"count", OPTION_INTEGER, offsetof(struct thing, count), .min = 1, .max = 5, .unit = "s",
         .standard = "2", .help = "A count."},
        {"share", OPTION_REAL, offsetof(struct thing, share), .min = 0, .max = 1, .standard = "0.5",
         .help = "A share."},
        {"text", OPTION_STRING, offsetof(struct thing, text), .standard = "\"t\"",
         .help = "A text."},
        {"secret", OPTION_SECRET, offsetof(struct thing, secret), .help = "A secret."},
        {"list", OPTION_STRINGS, offsetof(struct thing, list), .standard = "[\"a\"]",
         .help = "A list."},
        {"word", OPTION_WORD, offsetof(struct thing, word), .words = words, .standard = "\"one\"",
         .help = "A word."},
        {"inners", OPTION_OBJECTS, offsetof(struct thing, inners),
         offsetof(struct thing, inner_count), .table = &inner_table, .help = "Things."},
        {NULL}},
    NULL};

static struct thing thing;
static struct buf errors;
static char path[] = "/tmp/headrace-option-XXXXXX";

static void setup(void) {
  close(mkstemp(path));
  errors = (struct buf)BUF_INIT(1 << 16);
}

static void teardown(void) {
  option_free(&table, &thing);
  buf_free(&errors);
  unlink(path);
}

static enum err load(const char *text) {
  FILE *f = fopen(path, "w");
  fputs(text, f);
  fclose(f);
  return option_load_file(&table, path, &thing, &errors);
}

/* The message without the file's name. */
static const char *fault(void) {
  return errors.data ? errors.data + strlen(path) : "";
}

TestSuite(option, .init = setup, .fini = teardown);

Test(option, has_defaults) {
  cr_assert_eq(load("// nothing\n{}"), OK);
  cr_assert(thing.flag && thing.count == 2 && thing.share == 0.5 && thing.word == 1 &&
            !thing.secret);
  cr_assert(strcmp(thing.text, "t") == 0 && strcmp(thing.list[0], "a") == 0 && !thing.list[1]);
}

Test(option, reads_everything) {
  setenv("OPTION_TEST_SECRET", "s3", 1);
  cr_assert_eq(load("{ /* c */ \"flag\": false, \"text\": \"// no \\\" comment\", \"secret\": "
                    "\"env:OPTION_TEST_SECRET\",\n"
                    "\"list\": [], \"word\": \"zero\", \"inners\": [{\"name\": \"x\"}, {\"name\": "
                    "\"y\", \"n\": 1}]}"),
               OK, "%s", fault());
  cr_assert(!thing.flag && thing.word == 0 && !thing.list[0] && thing.inner_count == 2);
  cr_assert(strcmp(thing.text, "// no \" comment") == 0 && strcmp(thing.secret, "s3") == 0);
  cr_assert(strcmp(thing.inners[1].name, "y") == 0 && thing.inners[0].n == 7 &&
            thing.inners[1].n == 1);
  struct buf out = BUF_INIT(1 << 16);
  option_values(&table, &thing, &out);
  cr_assert(strstr(out.data, "\"***\"") && !strstr(out.data, "s3"));
  buf_free(&out);
}

Test(option, says_where_and_what) {
  cr_assert_eq(load("{\n  \"cuont\": 1,\n  \"inners\": [ {\"name\": \"x\"},\n    {\"n\": 12, "
                    "\"name\": 3} ]\n}"),
               ERR_SYNTAX);
  cr_assert_str_eq(fault() + 0, fault());
  cr_assert(strstr(errors.data, ":2:3: cuont: unknown key; did you mean \"count\"?\n"), "%s",
            errors.data);
  cr_assert(strstr(errors.data, ":4:15: inners[1].name: must be a string, not a whole number\n"),
            "%s", errors.data);
  cr_assert(strstr(errors.data, ":4:6: inners[1].n: 12 is out of range; allowed is 0 to 9\n"), "%s",
            errors.data);
}

Test(option, names_what_is_missing_doubled_or_not_json) {
  cr_assert_eq(load("{\"inners\": [{}]}"), ERR_SYNTAX);
  cr_assert_str_eq(fault(), ":1:13: inners[0]: the key \"name\" is missing: A name.\n");
  buf_clear(&errors);
  cr_assert_eq(load("{\"count\": 1, \"count\": 2}"), ERR_SYNTAX);
  cr_assert(strstr(errors.data, "duplicate"), "%s", errors.data);
  buf_clear(&errors);
  cr_assert_eq(load("[]"), ERR_SYNTAX);
  cr_assert_eq(option_load_file(&table, "/no/such/file", &thing, &errors), ERR_IO);
}

Test(option, stops_counting_faults) {
  char text[4096] = "{";
  for (int i = 0; i < 30; i++)
    sprintf(text + strlen(text), "%s\"nothing%d\": 1", i ? "," : "", i);
  strcat(text, "}");
  cr_assert_eq(load(text), ERR_SYNTAX);
  cr_assert(strstr(errors.data, "and 10 more"), "%s", errors.data);
}

Test(option, the_example_is_good) {
  struct buf out = BUF_INIT(1 << 16);
  option_example(&table, &out);
  cr_assert_eq(load(out.data), OK, "%s\n%s", fault(), out.data);
  buf_free(&out);
}

Test(option, a_text_does_not_end_at_a_nul) {
  buf_clear(&errors);
  cr_assert_eq(option_load_text(&table, "record", SLICE("{}\0nonsense"), &thing, &errors),
               ERR_SYNTAX);
  cr_assert(strstr(errors.data, "record:1:"), "%s", errors.data);
}

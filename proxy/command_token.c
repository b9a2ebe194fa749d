/* headrace token add|list|revoke: changes the tokens of the store that is configured; running
 * processes notice by themselves. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/wipe.h"
#include "lib/base/buf.h"
#include "lib/fleet/token.h"
#include "lib/net/loop.h"
#include "lib/store/store.h"
#include "proxy/commands.h"
#include "proxy/file.h"
#include "proxy/store_open.h"

enum {
  WORDS_MAX = 64,
  HOUR_S = 3600,
  DAY_S = 86400,
  STORE_WAIT_S = 5,
  EXPIRY_MOST_DAYS = 1000000, /* or hours */
  LIMIT_MOST = 1000000000,
};

struct asked {
  const char *name, *owner, *text;
  char *organisations[WORDS_MAX + 1], *endpoints[WORDS_MAX + 1];
  int organisation_count, endpoint_count;
  int64_t expires_s, concurrency_max;
  double requests_per_s;
};

/* The store, and what it has to say. */
struct desk {
  struct loop *loop;
  struct store *store;
  struct store_watch watch;
  struct timer timer;
  struct token_set *tokens;
  char id[PROCESS_ID_BYTES], why[512];
  enum err answer;
};

static int fail(const char *format, const char *what) {
  fprintf(stderr, "headrace token: ");
  fprintf(stderr, format, what);
  fprintf(stderr, "\n");
  return 1;
}

/* "12h", "30d", or a date; 0 when it is neither, or before all dates. */
static int64_t expiry(const char *text) {
  char *end;
  long long n = strtoll(text, &end, 10);
  if (n > 0 && n <= EXPIRY_MOST_DAYS && (strcmp(end, "h") == 0 || strcmp(end, "d") == 0))
    return time(NULL) + n * (*end == 'h' ? HOUR_S : DAY_S);
  struct tm tm = {0};
  end = strptime(text, "%Y-%m-%d", &tm);
  int64_t at = end && !*end ? (int64_t)timegm(&tm) : 0;
  return at > 0 ? at : 0;
}

/* A number above zero, and nothing behind it; 0 when it is not. */
static double limit(const char *text) {
  char *end;
  double n = strtod(text, &end);
  return end != text && !*end && n > 0 && n <= LIMIT_MOST ? n : 0;
}

/* Arguments can be seen by everybody on the machine while the command runs (/proc/PID/cmdline). */
static const char *taken_from_sight(char *argument) {
  static char text[TOKEN_TEXT_BYTES_MAX + 1];
  snprintf(text, sizeof text, "%s", argument);
  wipe_text(argument);
  return text;
}

static bool read_options(int argc, char **argv, struct asked *a) {
  static const struct option options[] = {
      {"owner", required_argument, NULL, 'o'},    {"organisation", required_argument, NULL, 'g'},
      {"endpoint", required_argument, NULL, 'e'}, {"expires", required_argument, NULL, 'x'},
      {"token", required_argument, NULL, 't'},    {"concurrency", required_argument, NULL, 'c'},
      {"rate", required_argument, NULL, 'r'},     {NULL, 0, NULL, 0}};
  int c;
  while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (c == 'o')
      a->owner = optarg;
    else if (c == 'g' && a->organisation_count < WORDS_MAX)
      a->organisations[a->organisation_count++] = optarg;
    else if (c == 'e' && a->endpoint_count < WORDS_MAX)
      a->endpoints[a->endpoint_count++] = optarg;
    else if (c == 't' && strlen(optarg) <= TOKEN_TEXT_BYTES_MAX)
      a->text = taken_from_sight(optarg);
    else if (c == 'c' && limit(optarg) >= 1)
      a->concurrency_max = (int64_t)limit(optarg);
    else if (c == 'r' && limit(optarg) > 0)
      a->requests_per_s = limit(optarg);
    else if (c != 'x' || (a->expires_s = expiry(optarg)) == 0)
      return false;
  }
  a->name = optind < argc ? argv[optind] : NULL;
  return optind + 1 >= argc;
}

static void tokens_came(void *user, struct token_set *set) {
  struct desk *d = user;
  token_set_unref(d->tokens);
  d->tokens = token_set_ref(set);
  loop_stop(d->loop);
}

static void problem_came(void *user, const char *text) {
  struct desk *d = user;
  snprintf(d->why, sizeof d->why, "%s", text);
  loop_stop(d->loop);
}

static void link_came(void *user, const struct store_link *link) {
  struct desk *d = user;
  snprintf(d->why, sizeof d->why, "%s", link->why);
}

static void waited(struct timer *t) {
  loop_stop(container_of(t, struct desk, timer)->loop);
}

static void answered(void *user, enum err e) {
  struct desk *d = user;
  d->answer = e;
  loop_stop(d->loop);
}

/* Runs until something stops the loop. */
static void wait_for_store(struct desk *d) {
  d->loop->stopping = false;
  if (timer_set(d->loop, &d->timer, clock_mono() + STORE_WAIT_S * USEC_PER_S) == OK)
    loop_run(d->loop);
}

static bool desk_open(struct desk *d, const struct config *config) {
  timer_init(&d->timer, waited);
  list_init(&d->watch.node);
  d->loop = loop_new(1 << 20);
  if (!d->loop || !store_identify(d->id) || !(d->store = store_open(d->loop, config, d->id, false)))
    return false;
  d->watch = (struct store_watch){
      .user = d, .tokens = tokens_came, .problem = problem_came, .link = link_came};
  store_watch(d->store, &d->watch);
  wait_for_store(d);
  return d->tokens != NULL;
}

static void desk_close(struct desk *d) {
  if (d->store)
    store_unwatch(d->store, &d->watch);
  store_free(d->store);
  token_set_unref(d->tokens);
  loop_free(d->loop);
}

static struct store_reply expect(struct desk *d) {
  d->answer = ERR_TIMEOUT;
  d->loop->stopping = false;
  return (struct store_reply){d, answered};
}

static void add(struct desk *d, const struct asked *a, const char *text) {
  struct token t = {.name = (char *)a->name,
                    .owner = (char *)a->owner,
                    .organisations = (char **)a->organisations,
                    .endpoints = (char **)a->endpoints,
                    .created_s = time(NULL),
                    .expires_s = a->expires_s,
                    .concurrency_max = a->concurrency_max,
                    .requests_per_s = a->requests_per_s};
  token_hash(slice_str(text), t.hash);
  store_put_token(d->store, &t, expect(d));
  if (d->answer == ERR_TIMEOUT)
    wait_for_store(d);
}

static int do_add(struct desk *d, const struct asked *a) {
  char made[64];
  if (!a->text && token_make(made) != OK)
    return fail("%s", "no random numbers");
  const char *text = a->text ? a->text : made;
  add(d, a, text);
  if (d->answer == ERR_EXISTS)
    return fail(
        "there is a token named \"%s\", or of that text, already; revoke it or choose another name",
        a->name);
  if (d->answer == ERR_SYNTAX)
    return fail("%s", "names are UTF-8 text");
  if (d->answer)
    return fail("the store cannot be written (%s); check permissions", err_word(d->answer));
  printf("%s\n", text);
  fprintf(stderr, "This is shown once; only its SHA-256 is kept.\n");
  return 0;
}

static int do_revoke(struct desk *d, const struct asked *a) {
  store_remove_token(d->store, a->name, expect(d));
  if (d->answer == ERR_TIMEOUT)
    wait_for_store(d);
  if (d->answer == ERR_ABSENT)
    return fail("there is no token named \"%s\"; headrace token list shows them", a->name);
  return d->answer
             ? fail("the store cannot be written (%s); check permissions", err_word(d->answer))
             : 0;
}

static void print_words(char *const *words) {
  for (int i = 0; words && words[i]; i++)
    printf("%s%s", i ? "," : "", words[i]);
}

static void print_limit(double n) {
  if (n > 0)
    printf("%-8g ", n);
  else
    printf("%-8s ", "-");
}

static int do_list(const struct token_set *set) {
  printf("%-24s %-16s %-20s %-8s %-8s %-20s %s\n", "NAME", "OWNER", "EXPIRES", "AT ONCE", "PER S",
         "ENDPOINTS", "ORGANISATIONS");
  for (size_t i = 0; i < token_set_count(set); i++) {
    const struct token *t = token_set_at(set, i);
    char expires[32] = "never";
    struct tm tm;
    time_t at = t->expires_s;
    if (at)
      strftime(expires, sizeof expires, "%Y-%m-%dT%H:%MZ", gmtime_r(&at, &tm));
    printf("%-24s %-16s %-20s ", t->name, t->owner ? t->owner : "-", expires);
    print_limit((double)t->concurrency_max);
    print_limit(t->requests_per_s);
    print_words(t->endpoints);
    printf("%*s ", t->endpoints && t->endpoints[0] ? 1 : 20, "");
    print_words(t->organisations);
    printf("\n");
  }
  return 0;
}

static int at_desk(const struct config *config, const char *verb, const struct asked *a) {
  struct desk d = {0};
  int code;
  if (!desk_open(&d, config))
    code = fail("the tokens cannot be read: %s", *d.why ? d.why : "no answer");
  else
    code = strcmp(verb, "add") == 0      ? do_add(&d, a)
           : strcmp(verb, "revoke") == 0 ? do_revoke(&d, a)
                                         : do_list(d.tokens);
  desk_close(&d);
  return code;
}

int command_token(const char *config_path, int argc, char **argv) {
  struct asked a = {0};
  bool list = strcmp(argv[0], "list") == 0;
  if (!list && strcmp(argv[0], "add") != 0 && strcmp(argv[0], "revoke") != 0)
    return fail("\"%s\" is not add, list or revoke", argv[0]) + 1;
  if (!read_options(argc, argv, &a) || list != !a.name)
    return fail("usage: headrace token %s; see headrace help", list ? "list" : "add|revoke NAME") +
           1;
  struct buf errors = BUF_INIT(1 << 16);
  struct file *f = NULL;
  if (file_load(config_path, &f, &errors) != OK) {
    fputs(errors.data ? errors.data : "out of memory\n", stderr);
    buf_free(&errors);
    return 1;
  }
  buf_free(&errors);
  int code = at_desk(&f->config, argv[0], &a);
  file_free(f);
  return code;
}

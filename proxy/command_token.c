/* headrace token add|list|revoke: edits the token file under a lock; a running process
 * notices within TOKENS_LOOK_MS. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/dirs.h"
#include "lib/fleet/token.h"
#include "proxy/commands.h"
#include "proxy/file.h"

enum { WORDS_MAX = 64, DAY_S = 86400 };

struct asked {
  const char *name, *owner, *text;
  char *organisations[WORDS_MAX + 1], *endpoints[WORDS_MAX + 1];
  int organisation_count, endpoint_count;
  int64_t expires_s;
};

static int fail(const char *format, const char *what) {
  fprintf(stderr, "headrace token: ");
  fprintf(stderr, format, what);
  fprintf(stderr, "\n");
  return 1;
}

/* "12h", "30d", or a date; -1 when it is neither. */
static int64_t expiry(const char *text) {
  char *end;
  long long n = strtoll(text, &end, 10);
  if (n > 0 && strcmp(end, "h") == 0)
    return time(NULL) + n * 3600;
  if (n > 0 && strcmp(end, "d") == 0)
    return time(NULL) + n * DAY_S;
  struct tm tm = {0};
  end = strptime(text, "%Y-%m-%d", &tm);
  return end && !*end ? (int64_t)timegm(&tm) : -1;
}

static bool read_options(int argc, char **argv, struct asked *a) {
  static const struct option options[] = {
      {"owner", required_argument, NULL, 'o'},    {"organisation", required_argument, NULL, 'g'},
      {"endpoint", required_argument, NULL, 'e'}, {"expires", required_argument, NULL, 'x'},
      {"token", required_argument, NULL, 't'},    {NULL, 0, NULL, 0}};
  int c;
  while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (c == 'o')
      a->owner = optarg;
    else if (c == 'g' && a->organisation_count < WORDS_MAX)
      a->organisations[a->organisation_count++] = optarg;
    else if (c == 'e' && a->endpoint_count < WORDS_MAX)
      a->endpoints[a->endpoint_count++] = optarg;
    else if (c == 't')
      a->text = optarg;
    else if (c != 'x' || (a->expires_s = expiry(optarg)) < 0)
      return false;
  }
  a->name = optind < argc ? argv[optind] : NULL;
  return optind + 1 >= argc;
}

static enum err add(struct token_set *set, const struct asked *a, const char *text,
                    struct token_set **out) {
  struct token t = {.name = (char *)a->name,
                    .owner = (char *)a->owner,
                    .organisations = (char **)a->organisations,
                    .endpoints = (char **)a->endpoints,
                    .created_s = time(NULL),
                    .expires_s = a->expires_s};
  token_hash(slice_str(text), t.hash);
  return token_set_add(set, &t, out);
}

static int do_add(const char *path, struct token_set *set, const struct asked *a) {
  char made[64];
  struct token_set *changed;
  if (!a->text && token_make(made) != OK)
    return fail("%s", "no random numbers");
  const char *text = a->text ? a->text : made;
  enum err e = add(set, a, text, &changed);
  if (e == ERR_EXISTS)
    return fail(
        "there is a token named \"%s\", or of that text, already; revoke it or choose another name",
        a->name);
  if (e)
    return fail("%s", err_word(e));
  e = token_set_save(changed, path);
  token_set_unref(changed);
  if (e)
    return fail("%s cannot be written; check permissions", path);
  printf("%s\n", text);
  fprintf(stderr, "This is shown once; only its SHA-256 is kept.\n");
  return 0;
}

static int do_revoke(const char *path, struct token_set *set, const struct asked *a) {
  struct token_set *changed;
  if (token_set_remove(set, a->name, &changed) != OK)
    return fail("there is no token named \"%s\"; headrace token list shows them", a->name);
  enum err e = token_set_save(changed, path);
  token_set_unref(changed);
  return e ? fail("%s cannot be written; check permissions", path) : 0;
}

static void print_words(char *const *words) {
  for (int i = 0; words && words[i]; i++)
    printf("%s%s", i ? "," : "", words[i]);
}

static int do_list(const struct token_set *set) {
  printf("%-24s %-16s %-20s %-20s %s\n", "NAME", "OWNER", "EXPIRES", "ENDPOINTS", "ORGANISATIONS");
  for (size_t i = 0; i < token_set_count(set); i++) {
    const struct token *t = token_set_at(set, i);
    char expires[32] = "never";
    struct tm tm;
    time_t at = t->expires_s;
    if (at)
      strftime(expires, sizeof expires, "%Y-%m-%dT%H:%MZ", gmtime_r(&at, &tm));
    printf("%-24s %-16s %-20s ", t->name, t->owner ? t->owner : "-", expires);
    print_words(t->endpoints);
    printf("%*s ", t->endpoints && t->endpoints[0] ? 1 : 20, "");
    print_words(t->organisations);
    printf("\n");
  }
  return 0;
}

/* Held while the file is read and written, so that two commands do not lose one another's work. */
static int lock_for(const char *path) {
  char lock[512];
  if (dirs_make_for(path, 0755) != OK)
    return -1;
  snprintf(lock, sizeof lock, "%s.lock", path);
  int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0 && flock(fd, LOCK_EX)) {
    close(fd);
    return -1;
  }
  return fd;
}

static int with_set(const char *path, const char *verb, const struct asked *a) {
  struct buf why = BUF_INIT(4096);
  struct token_set *set;
  if (token_set_load(path, &set, &why) != OK) {
    int code = fail("%s", why.data ? why.data : "out of memory");
    buf_free(&why);
    return code;
  }
  int code = strcmp(verb, "add") == 0      ? do_add(path, set, a)
             : strcmp(verb, "revoke") == 0 ? do_revoke(path, set, a)
                                           : do_list(set);
  token_set_unref(set);
  buf_free(&why);
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
  const char *path = f->config.token_file;
  int lock = lock_for(path);
  int code = lock < 0 ? fail("%s cannot be locked; check that its directory is writable", path)
                      : with_set(path, argv[0], &a);
  if (lock >= 0)
    close(lock);
  file_free(f);
  return code;
}

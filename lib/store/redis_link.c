#include "lib/store/redis_link.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <fcntl.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/list.h"
#include "lib/net/loop.h"

enum { RETRY_FIRST_US = 20 * 1000, RETRY_MOST_US = 1000 * 1000, RETRY_DOUBLINGS = 6 };
enum {
  ARGUMENTS_AT_ONCE = 64,
  WHY_BYTES = 256,
  CANCEL_TURNS = 4, /* of the event loop */
};

struct target {
  char host[REDIS_HOST_BYTES]; /* "" with a port of 0: none */
  int port;                    /* 0: host is the path of a Unix socket */
};

struct command {
  struct redis_link *link; /* NULL: the link has gone */
  struct list node;        /* in link->waiting, in the order of sending */
  usec_t until;
  redis_reply_fn answered;
  void *user;
};

/* Apart from the link: the name server's answer may come when it has gone. */
struct resolution {
  struct redis_link *link;
  struct evdns_getaddrinfo_request *request; /* NULL within evdns_getaddrinfo */
};

struct redis_link {
  struct loop *loop;
  struct redis_settings settings;
  const char *name, *channel;
  struct redis_link_events events;
  void *user;
  redisAsyncContext *context; /* NULL between two connections */
  struct evdns_base *dns;
  struct resolution *resolving;
  struct target target; /* being connected to */
  struct target moved;  /* where a cluster said the keys are */
  struct target master; /* what a sentinel said */
  struct list waiting;
  size_t waiting_count;
  struct timer deadline, retry;
  usec_t connect_until; /* 0: connected */
  int failures;         /* in a row */
  int sentinel;         /* the one to ask */
  bool asking;          /* connected to a sentinel */
  bool up;
  usec_t up_us; /* since when, or when it was last */
  int64_t commands, connections;
};

static void link_connect(struct redis_link *l);

static bool given(const char *text) {
  return text && *text;
}

static bool target_set(const struct target *t) {
  return t->host[0] != '\0';
}

/* "host:port", "[v6]:port" or "unix:PATH". */
static bool target_parse(const char *text, struct target *t) {
  if (strncmp(text, "unix:", 5) == 0) {
    t->port = 0;
    return snprintf(t->host, sizeof t->host, "%s", text + 5) < (int)sizeof t->host;
  }
  const char *colon = strrchr(text, ':');
  size_t n = colon ? (size_t)(colon - text) : 0;
  if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
    text++;
    n -= 2;
  }
  if (n == 0 || n >= sizeof t->host)
    return false;
  memcpy(t->host, text, n);
  t->host[n] = '\0';
  t->port = atoi(colon + 1);
  return t->port > 0 && t->port < 65536;
}

/* A connection that did not last is one more failure: a Redis that takes us in and then refuses
 * what it is told is not asked without end. */
static void retry_later(struct redis_link *l, bool was_up) {
  if (was_up && loop_now(l->loop) - l->up_us > RETRY_MOST_US)
    l->failures = 0;
  int doublings = l->failures < RETRY_DOUBLINGS ? l->failures : RETRY_DOUBLINGS;
  usec_t pause = (usec_t)RETRY_FIRST_US << doublings;
  l->failures++;
  if (pause > RETRY_MOST_US)
    pause = RETRY_MOST_US;
  pause += rand() % (pause / 4 + 1); /* a whole fleet comes back, not all at once */
  if (timer_set(l->loop, &l->retry, loop_now(l->loop) + pause) != OK)
    abort(); /* it would stay away for ever */
}

void redis_link_fail(struct redis_link *l, const char *why) {
  char text[WHY_BYTES];
  snprintf(text, sizeof text, "%s", why); /* it may be the context's */
  redisAsyncContext *context = l->context;
  bool was_up = l->up;
  l->context = NULL;
  l->up = false;
  l->connect_until = 0;
  l->master = l->moved = (struct target){0};
  if (!was_up)
    l->sentinel++; /* it did not answer, or knows no better than to send us there */
  timer_cancel(l->loop, &l->deadline);
  if (context)
    redisAsyncFree(context); /* answers what waits with NULL */
  retry_later(l, was_up);
  if (was_up || l->failures > 1) /* a first try may come too early */
    l->events.down(l->user, text);
}

static void deadline_arm(struct redis_link *l) {
  usec_t at = l->connect_until;
  if (!at && !list_empty(&l->waiting))
    at = container_of(l->waiting.next, struct command, node)->until;
  if (!at)
    timer_cancel(l->loop, &l->deadline);
  else if (timer_set(l->loop, &l->deadline, at) != OK)
    abort(); /* a Redis that hangs would hang us */
}

static void deadline_passed(struct timer *t) {
  struct redis_link *l = container_of(t, struct redis_link, deadline);
  char why[WHY_BYTES];
  snprintf(why, sizeof why, "%.150s:%d did not answer within %lld ms", l->target.host,
           l->target.port, (long long)l->settings.timeout_ms);
  redis_link_fail(l, why);
}

static bool is_error(const redisReply *r) {
  return r && r->type == REDIS_REPLY_ERROR;
}

static bool is_move(const char *error) {
  return strncmp(error, "MOVED ", 6) == 0;
}

/* Errors that mean the wrong server, whatever was asked. */
static bool misplaced(const redisReply *reply) {
  return is_error(reply) && (is_move(reply->str) || strncmp(reply->str, "READONLY", 8) == 0);
}

/* A cluster keeps these keys elsewhere: "MOVED <slot> <host>:<port>". It is asked there next,
 * and only there. */
static void leave_for(struct redis_link *l, const char *error) {
  redis_link_fail(l, error);
  const char *address = strrchr(error, ' ');
  if (is_move(error) && address && !target_parse(address + 1, &l->moved))
    l->moved = (struct target){0};
}

static void command_answered(redisAsyncContext *context, void *reply, void *user) {
  struct command *c = user;
  struct redis_link *l = c->link;
  list_remove(&c->node);
  if (!l) {
    free(c);
    return;
  }
  l->waiting_count--;
  bool current = l->context == context;
  if (current)
    deadline_arm(l);
  bool wrong = current && misplaced(reply);
  char why[WHY_BYTES] = "";
  if (wrong)
    snprintf(why, sizeof why, "%s", ((redisReply *)reply)->str);
  if (c->answered)
    c->answered(c->user, wrong ? NULL : reply);
  free(c);
  if (wrong && l->context == context)
    leave_for(l, why);
}

static enum err send_on(struct redis_link *l, int argc, const struct slice *argv,
                        redis_reply_fn answered, void *user) {
  if (l->waiting_count >= REDIS_WAITING_MAX)
    return ERR_LIMIT;
  const char *few_texts[ARGUMENTS_AT_ONCE], **texts = few_texts;
  size_t few_lengths[ARGUMENTS_AT_ONCE], *lengths = few_lengths;
  struct command *c = malloc(sizeof *c);
  if (argc > ARGUMENTS_AT_ONCE) {
    texts = malloc((size_t)argc * sizeof *texts);
    lengths = malloc((size_t)argc * sizeof *lengths);
  }
  enum err e = c && texts && lengths ? OK : ERR_MEMORY;
  for (int i = 0; !e && i < argc; i++) {
    texts[i] = argv[i].data ? argv[i].data : "";
    lengths[i] = argv[i].len;
  }
  if (!e) {
    *c = (struct command){.link = l,
                          .until = loop_now(l->loop) + l->settings.timeout_ms * USEC_PER_MS,
                          .answered = answered,
                          .user = user};
    list_push_back(&l->waiting, &c->node);
    l->waiting_count++;
    l->commands++;
    if (redisAsyncCommandArgv(l->context, command_answered, c, argc, texts, lengths) != REDIS_OK) {
      list_remove(&c->node);
      l->waiting_count--;
      e = ERR_IO;
    }
  }
  if (texts != few_texts)
    free(texts);
  if (lengths != few_lengths)
    free(lengths);
  if (e)
    free(c);
  else if (l->waiting_count == 1)
    deadline_arm(l);
  return e;
}

enum err redis_link_send(struct redis_link *l, int argc, const struct slice *argv,
                         redis_reply_fn answered, void *user) {
  return l->up ? send_on(l, argc, argv, answered, user) : ERR_AGAIN;
}

/* AUTH, SELECT: an error ends the connection; no reply at all has ended it already. */
static void must_answered(void *user, const redisReply *reply) {
  struct redis_link *l = user;
  if (is_error(reply) && l->context)
    redis_link_fail(l, reply->str);
}

static void on_message(redisAsyncContext *context, void *reply, void *user) {
  struct redis_link *l = user;
  const redisReply *r = reply;
  if (!r || l->context != context)
    return;
  if (is_error(r))
    redis_link_fail(l, r->str);
  else if (r->type == REDIS_REPLY_ARRAY && r->elements == 3 &&
           strcmp(r->element[0]->str, "message") == 0)
    l->events.message(l->user, slice_of(r->element[2]->str, r->element[2]->len));
}

static void is_up(struct redis_link *l) {
  if (l->channel &&
      redisAsyncCommand(l->context, on_message, l, "SUBSCRIBE %s", l->channel) != REDIS_OK) {
    redis_link_fail(l, "cannot subscribe");
    return;
  }
  l->up = true;
  l->up_us = loop_now(l->loop);
  l->connections++;
  l->events.up(l->user);
}

/* The last of the greeting: only a master will do. Who may not ask is believed. */
static void role_answered(void *user, const redisReply *reply) {
  struct redis_link *l = user;
  if (!reply || !l->context)
    return;
  const redisReply *role =
      reply->type == REDIS_REPLY_ARRAY && reply->elements ? reply->element[0] : NULL;
  if (is_error(reply) && strncmp(reply->str, "NOAUTH", 6) == 0)
    redis_link_fail(l, "a password is needed; set store.redis.password");
  else if (role && role->str && strcmp(role->str, "master") != 0)
    redis_link_fail(l, "this server is a replica, not the master; name the master, or the "
                       "sentinels");
  else
    is_up(l);
}

static void master_answered(void *user, const redisReply *reply) {
  struct redis_link *l = user;
  if (!reply || !l->context)
    return;
  char why[WHY_BYTES];
  bool known = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
               reply->element[0]->len < sizeof l->master.host;
  if (!known) {
    snprintf(why, sizeof why, "the sentinel %.100s:%d does not know the master \"%.60s\"%s%.60s",
             l->target.host, l->target.port, l->settings.master, is_error(reply) ? ": " : "",
             is_error(reply) ? reply->str : "");
    redis_link_fail(l, why);
    return;
  }
  strcpy(l->master.host, reply->element[0]->str);
  l->master.port = atoi(reply->element[1]->str);
  redisAsyncContext *context = l->context;
  l->context = NULL;
  timer_cancel(l->loop, &l->deadline);
  redisAsyncFree(context);
  link_connect(l);
}

static bool say(struct redis_link *l, redis_reply_fn answered, int argc, const char *const *words) {
  struct slice argv[4];
  for (int i = 0; i < argc; i++)
    argv[i] = slice_str(words[i]);
  return l->context && send_on(l, argc, argv, answered, l) == OK;
}

static bool log_in(struct redis_link *l, const char *user, const char *password) {
  if (!given(password))
    return true;
  if (given(user))
    return say(l, must_answered, 3, (const char *[]){"AUTH", user, password});
  return say(l, must_answered, 2, (const char *[]){"AUTH", password});
}

static bool greet_sentinel(struct redis_link *l) {
  return log_in(l, l->settings.sentinel_user, l->settings.sentinel_password) &&
         say(l, master_answered, 3,
             (const char *[]){"SENTINEL", "get-master-addr-by-name", l->settings.master});
}

static bool greet_server(struct redis_link *l) {
  char database[24];
  snprintf(database, sizeof database, "%lld", (long long)l->settings.database);
  return log_in(l, l->settings.user, l->settings.password) &&
         (l->settings.database == 0 ||
          say(l, must_answered, 2, (const char *[]){"SELECT", database})) &&
         say(l, NULL, 3, (const char *[]){"CLIENT", "SETNAME", l->name}) &&
         say(l, role_answered, 1, (const char *[]){"ROLE"});
}

static void on_connect(const redisAsyncContext *context, int status) {
  struct redis_link *l = context->data;
  if (!l || l->context != context)
    return;
  if (status != REDIS_OK) {
    char why[WHY_BYTES];
    snprintf(why, sizeof why, "%.150s:%d: %.80s", l->target.host, l->target.port, context->errstr);
    l->context = NULL; /* hiredis frees it */
    redis_link_fail(l, why);
    return;
  }
  l->connect_until = 0;
  timer_cancel(l->loop, &l->deadline);
  if (!(l->asking ? greet_sentinel(l) : greet_server(l)) && l->context)
    redis_link_fail(l, "out of memory");
}

static void on_disconnect(const redisAsyncContext *context, int status) {
  struct redis_link *l = context->data;
  if (!l || l->context != context)
    return;
  l->context = NULL; /* hiredis frees it */
  redis_link_fail(l, status == REDIS_OK ? "the connection was closed" : context->errstr);
}

static void opened(struct redis_link *l, redisAsyncContext *context) {
  if (!context || context->err) {
    char why[WHY_BYTES];
    snprintf(why, sizeof why, "%.150s:%d: %.80s", l->target.host, l->target.port,
             context ? context->errstr : "out of memory");
    if (context)
      redisAsyncFree(context);
    redis_link_fail(l, why);
    return;
  }
  l->context = context;
  context->data = l;
  fcntl(context->c.fd, F_SETFD, FD_CLOEXEC); /* children are not to have it */
  if (l->target.port)
    redisEnableKeepAlive(&context->c);
  redisLibeventAttach(context, l->loop->base);
  redisAsyncSetConnectCallback(context, on_connect);
  redisAsyncSetDisconnectCallback(context, on_disconnect);
  l->connect_until = loop_now(l->loop) + l->settings.timeout_ms * USEC_PER_MS;
  deadline_arm(l);
}

static void resolved(int error, struct evutil_addrinfo *found, void *user) {
  struct resolution *r = user;
  struct redis_link *l = r->link;
  char numeric[INET6_ADDRSTRLEN] = "", why[WHY_BYTES];
  free(r);
  if (!l) {
    if (found)
      evutil_freeaddrinfo(found);
    return;
  }
  l->resolving = NULL;
  if (!error && found->ai_family == AF_INET)
    inet_ntop(AF_INET, &((struct sockaddr_in *)found->ai_addr)->sin_addr, numeric, sizeof numeric);
  else if (!error)
    inet_ntop(AF_INET6, &((struct sockaddr_in6 *)found->ai_addr)->sin6_addr, numeric,
              sizeof numeric);
  if (found)
    evutil_freeaddrinfo(found);
  if (*numeric) {
    opened(l, redisAsyncConnect(numeric, l->target.port));
    return;
  }
  snprintf(why, sizeof why, "the name %.150s cannot be resolved: %.60s", l->target.host,
           evutil_gai_strerror(error));
  redis_link_fail(l, why);
}

static void resolve(struct redis_link *l) {
  if (!l->dns)
    l->dns = evdns_base_new(l->loop->base,
                            EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
  struct resolution *r = l->dns ? malloc(sizeof *r) : NULL;
  if (!r) {
    redis_link_fail(l, "the name server is not known; see /etc/resolv.conf");
    return;
  }
  struct evutil_addrinfo hints = {
      .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
  *r = (struct resolution){.link = l};
  l->resolving = r;
  struct evdns_getaddrinfo_request *request =
      evdns_getaddrinfo(l->dns, l->target.host, NULL, &hints, resolved, r);
  if (l->resolving == r) /* else it was answered at once */
    r->request = request;
}

/* libevent frees a request by its callback, which needs the name servers: these may go when nothing
 * is asked any more. */
static void resolve_no_more(struct redis_link *l) {
  if (l->resolving) {
    struct evdns_getaddrinfo_request *request = l->resolving->request;
    l->resolving->link = NULL;
    evdns_getaddrinfo_cancel(request);
  }
  if (!l->dns)
    return;
  for (int i = 0; i < CANCEL_TURNS; i++)
    event_base_loop(l->loop->base, EVLOOP_NONBLOCK);
  evdns_base_free(l->dns, 1);
  event_base_loop(l->loop->base, EVLOOP_NONBLOCK);
}

static bool is_numeric(const char *host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* A sentinel, unless one has just said where the master is. */
static bool choose_target(struct redis_link *l) {
  char *const *sentinels = l->settings.sentinels;
  int count = 0;
  while (sentinels && sentinels[count])
    count++;
  l->asking = count && !target_set(&l->master);
  if (l->asking)
    return target_parse(sentinels[l->sentinel % count], &l->target);
  if (count || target_set(&l->moved)) {
    l->target = count ? l->master : l->moved;
    return true;
  }
  return target_parse(l->settings.address, &l->target);
}

static void link_connect(struct redis_link *l) {
  if (!choose_target(l))
    redis_link_fail(l, "the address is not of the form host:port or unix:PATH");
  else if (l->target.port == 0)
    opened(l, redisAsyncConnectUnix(l->target.host));
  else if (strcmp(l->target.host, "localhost") == 0)
    opened(l, redisAsyncConnect("127.0.0.1", l->target.port));
  else if (is_numeric(l->target.host))
    opened(l, redisAsyncConnect(l->target.host, l->target.port));
  else
    resolve(l);
}

static void retry_due(struct timer *t) {
  link_connect(container_of(t, struct redis_link, retry));
}

struct redis_link *redis_link_new(struct loop *loop, const struct redis_settings *settings,
                                  const char *name, const char *channel,
                                  const struct redis_link_events *events, void *user) {
  struct redis_link *l = calloc(1, sizeof *l);
  if (!l)
    return NULL;
  *l = (struct redis_link){.loop = loop,
                           .settings = *settings,
                           .name = name,
                           .channel = channel,
                           .events = *events,
                           .user = user};
  list_init(&l->waiting);
  timer_init(&l->deadline, deadline_passed);
  timer_init(&l->retry, retry_due);
  if (timer_set(loop, &l->retry, loop_now(loop)) == OK)
    return l;
  free(l);
  return NULL;
}

struct redis_link *redis_link_free(struct redis_link *l) {
  if (!l)
    return NULL;
  list_each (node, &l->waiting)
    container_of(node, struct command, node)->link = NULL;
  redisAsyncContext *context = l->context;
  l->context = NULL;
  if (context)
    redisAsyncFree(context);
  timer_cancel(l->loop, &l->deadline); /* before the loop turns */
  timer_cancel(l->loop, &l->retry);
  resolve_no_more(l);
  free(l);
  return NULL;
}

int64_t redis_link_commands(const struct redis_link *l) {
  return l->commands;
}

int64_t redis_link_connections(const struct redis_link *l) {
  return l->connections;
}

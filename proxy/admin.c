#include "proxy/admin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/dirs.h"
#include "lib/base/list.h"
#include "lib/http/error_body.h"
#include "lib/net/address.h"
#include "lib/net/handed.h"
#include "lib/net/listen.h"
#include "lib/net/loop.h"
#include "proxy/config/config.h"
#include "lib/store/store.h"
#include "proxy/edge.h"
#include "proxy/overview.h"
#include "proxy/report.h"
#include "scheduler/scheduler.h"

enum {
  PAGE_BYTES_MAX = 64 << 20,
  SOCKET_MODE = 0600,
  REQUEST_BYTES_MAX = 16 * 1024,
  SOCKETS_MAX = 2,
  ACCEPT_PAUSE_US = 100 * 1000
};

struct admin {
  struct evhttp *http;
  struct loop *loop;
  struct report report;
  struct store *store;
  struct scheduler *scheduler;
  struct list asked; /* for status */
  char *socket_path;
  bool owns_file; /* of that path */
  struct evhttp_bound_socket *doors[SOCKETS_MAX];
  bool lent[SOCKETS_MAX];
  int door_count;
  struct timer pause;
  admin_reload_fn reload;
  void *reload_user;
  bool stopping;
};

/* A request for status, until the store has been looked at. */
struct asked {
  struct admin *admin;
  struct list node;
  struct evhttp_request *request; /* NULL: who asked has gone */
  struct overview *overview;
};

static void answer(struct evhttp_request *r, int status, const char *type, const struct buf *text) {
  struct evbuffer *body = evbuffer_new();
  if (body && text->data)
    evbuffer_add(body, text->data, text->len);
  evhttp_add_header(evhttp_request_get_output_headers(r), "Content-Type", type);
  evhttp_send_reply(r, text->failed ? 500 : status, NULL, body);
  if (body)
    evbuffer_free(body);
}

static void answer_text(struct evhttp_request *r, int status, const char *text) {
  struct buf b = BUF_INIT(1024);
  buf_str(&b, text);
  answer(r, status, "text/plain; charset=utf-8", &b);
  buf_free(&b);
}

static void answer_error(struct evhttp_request *r, int status, const char *code,
                         const char *message) {
  char body[1024];
  struct buf b = BUF_INIT(sizeof body);
  http_error_body(body, sizeof body, message, "invalid_request_error", NULL, code);
  buf_str(&b, body);
  answer(r, status, "application/json", &b);
  buf_free(&b);
}

static void on_health(struct evhttp_request *r, void *user) {
  answer_text(r, 200, "ok\n");
}

static void on_ready(struct evhttp_request *r, void *user) {
  struct admin *a = user;
  struct buf b = BUF_INIT(1024);
  report_ready(&a->report, &b);
  if (a->stopping)
    answer_text(r, 503, "stopping\n");
  else if (a->report.edge && !edge_ready(a->report.edge))
    answer_text(r, 503, "the fleet is not known yet\n");
  else
    answer(r, 200, "text/plain; charset=utf-8", &b);
  buf_free(&b);
}

static void on_metrics(struct evhttp_request *r, void *user) {
  struct admin *a = user;
  const char *accept = evhttp_find_header(evhttp_request_get_input_headers(r), "Accept");
  bool openmetrics = accept && strstr(accept, "application/openmetrics-text");
  struct buf b = BUF_INIT(PAGE_BYTES_MAX);
  report_metrics(&a->report, openmetrics, &b);
  answer(r, 200,
         openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                     : "text/plain; version=0.0.4; charset=utf-8",
         &b);
  buf_free(&b);
}

static void asked_free(struct asked *q) {
  if (q->request && evhttp_request_get_connection(q->request))
    evhttp_connection_set_closecb(evhttp_request_get_connection(q->request), NULL, NULL);
  overview_free(q->overview);
  list_remove(&q->node);
  free(q);
}

static void asker_went(struct evhttp_connection *connection, void *user) {
  struct asked *q = user;
  q->request = NULL;
}

static void overview_there(struct overview *o) {
  struct asked *q = o->user;
  struct buf b = BUF_INIT(PAGE_BYTES_MAX);
  struct evhttp_request *r = q->request;
  report_status(&q->admin->report, o, &b);
  asked_free(q);
  if (r)
    answer(r, 200, "application/json", &b);
  buf_free(&b);
}

static void on_status(struct evhttp_request *r, void *user) {
  struct admin *a = user;
  struct asked *q = calloc(1, sizeof *q);
  if (!q || overview_start(a->loop, a->store, overview_there, q, &q->overview) != OK) {
    free(q);
    answer_text(r, 503, "out of memory\n");
    return;
  }
  q->admin = a;
  q->request = r;
  list_push_back(&a->asked, &q->node);
  evhttp_connection_set_closecb(evhttp_request_get_connection(r), asker_went, q);
}

static void on_other(struct evhttp_request *r, void *user) {
  struct admin *a = user;
  const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(r));
  const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(r));
  bool json = query && strcmp(query, "json") == 0;
  struct buf b = BUF_INIT(PAGE_BYTES_MAX);
  if (!path || strncmp(path, "/explain/", 9) != 0)
    answer_error(r, 404, "not_found",
                 "There is /health, /ready, /metrics, /status and /explain/ENDPOINT.");
  else if (!a->scheduler)
    answer_error(r, 404, "not_a_scheduler",
                 "This process decides nothing; ask the scheduler that leads.");
  else if (!scheduler_explain(a->scheduler, path + 9, json, &b))
    answer_error(r, 404, "endpoint_not_found", "There is no endpoint of that name.");
  else
    answer(r, 200, json ? "application/json" : "text/plain; charset=utf-8", &b);
  buf_free(&b);
}

/* What changes something is not for whoever reaches a port of this machine. */
static bool came_by_socket(struct evhttp_request *r) {
  struct sockaddr_storage own = {0};
  socklen_t len = sizeof own;
  struct bufferevent *link = evhttp_connection_get_bufferevent(evhttp_request_get_connection(r));
  return getsockname(bufferevent_getfd(link), (struct sockaddr *)&own, &len) == 0 &&
         own.ss_family == AF_UNIX;
}

static void on_reload(struct evhttp_request *r, void *user) {
  struct admin *a = user;
  struct buf why = BUF_INIT(PAGE_BYTES_MAX);
  if (evhttp_request_get_command(r) != EVHTTP_REQ_POST)
    answer_error(r, 405, "method_not_allowed", "Reloading is a POST.");
  else if (!came_by_socket(r))
    answer_error(r, 403, "access_denied", "Reloading is asked for on admin.socket.");
  else if (a->reload && a->reload(a->reload_user, &why))
    answer_text(r, 200, "the new configuration is in force\n");
  else
    answer(r, 409, "text/plain; charset=utf-8", &why);
  buf_free(&why);
}

/* libevent hands its own object to the function for errors: there is one admin a process. */
static struct admin *the_admin;

static struct evconnlistener *listener_of(const struct admin *a, int door) {
  return evhttp_bound_socket_get_listener(a->doors[door]);
}

static void pause_over(struct timer *t) {
  struct admin *a = container_of(t, struct admin, pause);
  for (int i = 0; i < a->door_count; i++)
    evconnlistener_enable(listener_of(a, i));
}

/* Out of descriptors: it would be asked again and again. */
static void accept_failed(struct evconnlistener *listener, void *http) {
  struct admin *a = the_admin;
  if (timer_set(a->loop, &a->pause, loop_now(a->loop) + ACCEPT_PAUSE_US) == OK)
    evconnlistener_disable(listener);
}

static enum err open_socket(struct admin *a, const char *text, struct handed *handed,
                            struct buf *why) {
  struct address address;
  enum err e = address_parse(text, &address);
  if (e)
    return e;
  int fd;
  bool *lent = &a->lent[a->door_count];
  if (handed_find(handed, &address, &fd, 1, lent) == 0) {
    fd = listen_socket(&address, false, false, SOCKET_MODE, why);
    a->owns_file |= fd >= 0 && address.storage.ss_family == AF_UNIX;
  }
  if (fd < 0)
    return ERR_IO;
  struct evhttp_bound_socket *door = evhttp_accept_socket_with_handle(a->http, fd);
  if (!door) {
    close(fd);
    return ERR_MEMORY;
  }
  a->doors[a->door_count++] = door;
  evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(door), accept_failed);
  return OK;
}

static enum err open_all(struct admin *a, const struct config_admin *c, struct handed *handed,
                         struct buf *why) {
  char text[ADDRESS_TEXT_BYTES];
  snprintf(text, sizeof text, "unix:%s", c->socket);
  if (dirs_make_for(c->socket, 0755) != OK) {
    buf_printf(why, "cannot make the directory of %s: %s", c->socket, strerror(errno));
    return ERR_IO;
  }
  a->socket_path = strdup(c->socket);
  enum err e = a->socket_path ? open_socket(a, text, handed, why) : ERR_MEMORY;
  if (!e && c->address && *c->address)
    e = open_socket(a, c->address, handed, why);
  return e;
}

enum err admin_new(struct loop *loop, const struct config_admin *config, struct store *store,
                   const struct edge *edge, struct scheduler *scheduler,
                   const struct report_reloads *reloads, struct handed *handed, struct admin **out,
                   struct buf *why) {
  struct admin *a = calloc(1, sizeof *a);
  if (!a)
    return ERR_MEMORY;
  a->loop = loop;
  a->report = (struct report){edge, scheduler, store, reloads, clock_mono()};
  a->store = store;
  a->scheduler = scheduler;
  list_init(&a->asked);
  timer_init(&a->pause, pause_over);
  the_admin = a;
  a->http = evhttp_new(loop->base);
  if (!a->http) {
    free(a);
    return ERR_MEMORY;
  }
  evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
  evhttp_set_max_headers_size(a->http, REQUEST_BYTES_MAX);
  evhttp_set_max_body_size(a->http, REQUEST_BYTES_MAX);
  evhttp_set_timeout(a->http, 10);
  evhttp_set_cb(a->http, "/health", on_health, a);
  evhttp_set_cb(a->http, "/ready", on_ready, a);
  evhttp_set_cb(a->http, "/metrics", on_metrics, a);
  evhttp_set_cb(a->http, "/status", on_status, a);
  evhttp_set_cb(a->http, "/reload", on_reload, a);
  evhttp_set_gencb(a->http, on_other, a);
  enum err e = open_all(a, config, handed, why);
  if (e)
    admin_free(a);
  else
    *out = a;
  return e;
}

void admin_on_reload(struct admin *a, admin_reload_fn reload, void *user) {
  a->reload = reload;
  a->reload_user = user;
}

void admin_stopping(struct admin *a) {
  a->stopping = true;
}

void admin_sockets(const struct admin *a, struct handed_list *to) {
  for (int i = 0; i < a->door_count; i++)
    handed_list_add(to, evhttp_bound_socket_get_fd(a->doors[i]), a->lent[i]);
}

void admin_hand_over(struct admin *a) {
  while (a->door_count)
    evhttp_del_accept_socket(a->http, a->doors[--a->door_count]);
  a->owns_file = false;
}

void admin_own_file(struct admin *a) {
  a->owns_file = !a->lent[0];
}

struct admin *admin_free(struct admin *a) {
  if (!a)
    return NULL;
  list_each (node, &a->asked)
    asked_free(container_of(node, struct asked, node));
  timer_cancel(a->loop, &a->pause);
  evhttp_free(a->http);
  if (a->owns_file)
    unlink(a->socket_path);
  free(a->socket_path);
  free(a);
  return NULL;
}

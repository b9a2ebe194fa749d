#include "proxy/client/client.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/pool.h"
#include "lib/net/address.h"
#include "lib/net/proxy_protocol.h"
#include "lib/net/tls.h"
#include "proxy/client/crowd.h"
#include "proxy/config/config.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

/* RFC 9113, 3.4: how a client with prior knowledge begins. */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum { PREFACE_DECIDES_AT = 4 }; /* no HTTP/1 method begins with "PRI " */

struct client_door *client_door_ref(struct client_door *d) {
  atomic_fetch_add(&d->refs, 1);
  return d;
}

void client_door_unref(struct client_door *d) {
  if (!d || atomic_fetch_sub(&d->refs, 1) > 1)
    return;
  tls_context_free(d->tls);
  free(d);
}

static void client_release(struct post *p) {
  struct client *c = container_of(p, struct client, free_post);
  token_memo_forget(&c->token_memo);
  identity_forget(&c->identity);
  client_door_unref(c->door);
  pool_put(c->worker->clients, c);
}

void client_close(struct client *c, bool abort) {
  if (c->closed)
    return;
  c->closed = true;
  if (c->protocol)
    c->protocol->close(c);
  transport_close(&c->transport, abort);
  deadline_close(c->worker->loop, &c->deadline);
  list_remove(&c->node);
  cell_add(&c->worker->cell->connections, -1);
  atomic_fetch_sub(&c->worker->process->connections, 1);
  if (c->counted)
    crowd_leave(c->worker->process->crowd, (const struct sockaddr *)&c->peer);
  loop_post(c->worker->loop, &c->free_post);
}

void client_watch_stall(struct client *c) {
  c->stall_mark = c->transport.bytes_out;
  deadline_set(c->worker->loop, &c->deadline,
               loop_now(c->worker->loop) + c->worker->config->write_stall_s * USEC_PER_S);
}

void client_stall_expired(struct client *c) {
  if (c->transport.bytes_out != c->stall_mark) {
    client_watch_stall(c);
    return;
  }
  cell_add(&c->worker->cell->limits[LIMIT_WRITE_STALL], 1);
  client_close(c, true);
}

void client_expect_last(struct client *c) {
  usec_t at = loop_now(c->worker->loop) + c->worker->config->drain_idle_s * USEC_PER_S;
  if (at < c->deadline.at)
    deadline_set(c->worker->loop, &c->deadline, at);
}

void client_finish(struct client *c) {
  if (c->closed)
    return;
  client_watch_stall(c);
  c->hurried = c->worker->stopping;
  if (c->hurried)
    client_expect_last(c);
  transport_finish(&c->transport);
}

/* Only its goodbye is missing; or it takes its bytes slowly, which is watched as always. */
void client_finish_expired(struct client *c) {
  bool first = c->hurried;
  c->hurried = false;
  if (!transport_pending(&c->transport))
    client_close(c, false);
  else
    first ? client_watch_stall(c) : client_stall_expired(c);
}

static bool protocol_start(struct client *c, bool http2) {
  if (http2 && !client_http2_start(c))
    return false;
  if (!http2)
    client_http1_start(c);
  c->protocol = http2 ? &client_http2 : &client_http1;
  return true;
}

/* A session that is resumed may be older than its certificate lasts. */
static bool certificate_take(struct client *c) {
  const struct client_door *d = c->door;
  if (!d->asks_certificate)
    return true;
  enum err e = tls_client_names(c->transport.ssl, &c->identity.certificate_names);
  bool missing = !e && d->needs_certificate && !c->identity.certificate_names;
  cell_add(&c->worker->cell->certificate_failures, missing);
  return !e && !missing;
}

static void on_ready(struct transport *t) {
  struct client *c = container_of(t, struct client, transport);
  cell_add(&c->worker->cell->tls_handshakes, 1);
  if (!certificate_take(c) || !protocol_start(c, slice_equal(transport_alpn(t), SLICE("h2"))))
    client_close(c, false);
}

/* Clear text: the first bytes say which protocol it is. Fewer than four of them
 * that could still be the preface are HTTP/1's to keep: it has a stash. */
static bool speaks_http2(const struct client *c, struct slice bytes) {
  size_t n = bytes.len < sizeof preface - 1 ? bytes.len : sizeof preface - 1;
  return c->door->http2 && n >= PREFACE_DECIDES_AT && memcmp(bytes.data, preface, n) == 0;
}

static void on_bytes(struct transport *t, struct slice bytes) {
  struct client *c = container_of(t, struct client, transport);
  if (c->closed)
    return;
  if (!c->protocol && !protocol_start(c, speaks_http2(c, bytes))) {
    client_close(c, false);
    return;
  }
  c->protocol->bytes(c, bytes);
}

static void on_drained(struct transport *t) {
  struct client *c = container_of(t, struct client, transport);
  if (c->protocol && !c->closed)
    c->protocol->drained(c);
}

static void on_end(struct transport *t, enum transport_end end) {
  struct client *c = container_of(t, struct client, transport);
  if (end == TRANSPORT_TLS_FAILED) {
    cell_add(&c->worker->cell->tls_failures, 1);
    cell_add(&c->worker->cell->certificate_failures, tls_client_refused());
  }
  if (end == TRANSPORT_HEADER_BAD)
    cell_add(&c->worker->cell->limits[LIMIT_PROXY_HEADER], 1);
  if (end != TRANSPORT_EOF || !c->protocol || !c->protocol->ended(c))
    client_close(c, false);
}

static void peer_take(struct client *c, const struct sockaddr_storage *peer) {
  c->peer = *peer;
  address_peer_text((const struct sockaddr *)peer, c->peer_text, sizeof c->peer_text);
  c->trusted = peer_trusted(c->worker, peer);
}

/* The header's source is our peer from now on, with the connections that it has already. */
static bool source_take(struct client *c, const struct sockaddr_storage *source) {
  peer_take(c, source);
  if (!peer_counts(c->worker, source))
    return true;
  c->counted = crowd_enter(c->worker->process->crowd, (const struct sockaddr *)source,
                           c->worker->config->address_connections_max);
  if (!c->counted)
    cell_add(&c->worker->cell->limits[LIMIT_ADDRESS], 1);
  return c->counted;
}

/* Without an internet address (LOCAL, UNKNOWN, a socket of the balancer's own) the connection keeps
 * its own; but since nobody is named, nobody's X-Forwarded-* are believed, and no range of
 * addresses has it. */
static void on_header(struct transport *t, const struct proxy_header *h) {
  struct client *c = container_of(t, struct client, transport);
  bool good = true;
  c->trusted = false;
  c->unnamed = h->local || h->source.ss_family == AF_UNIX;
  c->secure = c->secure || h->tls;
  if (h->aws_vpce_id.len) {
    c->identity.vpc_endpoint = strndup(h->aws_vpce_id.data, h->aws_vpce_id.len);
    good = c->identity.vpc_endpoint != NULL;
  }
  if (good && !c->unnamed)
    good = source_take(c, &h->source);
  if (!good)
    client_close(c, false);
}

static const struct transport_events client_events = {
    .on_header = on_header,
    .on_ready = on_ready,
    .on_bytes = on_bytes,
    .on_drained = on_drained,
    .on_end = on_end,
};

static void on_deadline(struct timer *timer) {
  struct client *c = container_of(timer, struct client, deadline.timer);
  if (!deadline_passed(c->worker->loop, &c->deadline))
    return;
  if (c->protocol) {
    c->protocol->expired(c);
    return;
  }
  cell_add(&c->worker->cell->limits[LIMIT_HEAD_TIMEOUT], 1);
  client_close(c, false);
}

static void client_setup(struct client *c, struct worker *w, struct client_door *door,
                         const struct sockaddr_storage *peer) {
  memset(c, 0, sizeof *c);
  c->worker = w;
  c->door = client_door_ref(door);
  c->secure = door->tls != NULL;
  peer_take(c, peer);
  c->counted = peer_counts(w, peer);
  list_init(&c->node);
  post_init(&c->free_post, client_release);
  deadline_init(&c->deadline, on_deadline);
}

/* Whose PROXY header would be believed. */
static bool may_introduce(const struct worker *w, const struct sockaddr_storage *peer) {
  return peer->ss_family == AF_UNIX || peer_trusted(w, peer);
}

static bool connection_admitted(struct worker *w, const struct client_door *door,
                                const struct sockaddr_storage *peer) {
  enum client_limit limit = LIMIT_CONNECTIONS;
  if (door->proxy_protocol && !may_introduce(w, peer)) {
    cell_add(&w->cell->limits[LIMIT_PROXY_PEER], 1);
    return false;
  }
  if (atomic_fetch_add(&w->process->connections, 1) < w->config->connections_max) {
    if (!peer_counts(w, peer) || crowd_enter(w->process->crowd, (const struct sockaddr *)peer,
                                             w->config->address_connections_max))
      return true;
    limit = LIMIT_ADDRESS;
  }
  atomic_fetch_sub(&w->process->connections, 1);
  cell_add(&w->cell->limits[limit], 1);
  return false;
}

/* Nothing was made of it. */
static void connection_dismissed(struct worker *w, const struct sockaddr_storage *peer) {
  atomic_fetch_sub(&w->process->connections, 1);
  if (peer_counts(w, peer))
    crowd_leave(w->process->crowd, (const struct sockaddr *)peer);
}

void client_accept(struct worker *w, struct client_door *door, int fd,
                   const struct sockaddr_storage *peer) {
  if (!connection_admitted(w, door, peer)) {
    close(fd);
    return;
  }
  struct client *c = pool_get(w->clients);
  struct ssl_st *ssl = c && door->tls ? tls_context_accept(door->tls) : NULL;
  if (!c || (door->tls && !ssl)) {
    if (c)
      pool_put(w->clients, c);
    connection_dismissed(w, peer);
    close(fd);
    return;
  }
  client_setup(c, w, door, peer);
  list_push_back(&w->open_clients, &c->node);
  cell_add(&w->cell->connections, 1);
  cell_add(&w->cell->connections_total, 1);
  deadline_set(w->loop, &c->deadline, loop_now(w->loop) + w->config->head_timeout_s * USEC_PER_S);
  if (transport_open(&c->transport, w->loop, fd, ssl, false, &client_events) != OK)
    client_close(c, false);
  else if (door->proxy_protocol)
    transport_expect_header(&c->transport);
}

struct request *client_request(struct client *c, const struct client_ops *ops, void *self) {
  struct request *r = request_new(c->worker, ops, self);
  if (!r)
    return NULL;
  r->peer = &c->peer;
  r->peer_text = c->peer_text;
  r->local_port = slice_str(c->door->port);
  r->token_memo = &c->token_memo;
  r->identity = &c->identity;
  r->secure = c->secure;
  r->unnamed = c->unnamed;
  r->trusted_peer = c->trusted && peer_trusted(c->worker, &c->peer);
  return r;
}

#include "proxy/replica/link.h"

#include <errno.h>

#include "lib/net/connect.h"
#include "proxy/config/config.h"
#include "proxy/request/fleet.h"
#include "proxy/request/worker.h"

static void release(struct post *p) {
  struct replica_link *l = container_of(p, struct replica_link, free_post);
  replica_unref(l->replica);
  l->ops->release(l);
}

static void deadline_fired(struct timer *t) {
  struct replica_link *l = container_of(t, struct replica_link, deadline.timer);
  if (deadline_passed(l->worker->loop, &l->deadline))
    l->ops->expired(l);
}

static void deadline_in(struct replica_link *l, int64_t seconds) {
  struct loop *loop = l->worker->loop;
  deadline_set(loop, &l->deadline, loop_now(loop) + seconds * USEC_PER_S);
}

enum err link_open(struct replica_link *l, struct worker *w, struct replica *replica,
                   const struct link_ops *ops) {
  int fd = connect_start(&replica->address);
  if (fd < 0)
    return connect_starved(errno) ? ERR_LIMIT : ERR_IO;
  enum err e = transport_open(&l->transport, w->loop, fd, NULL, true, ops->events);
  if (e) {
    transport_close(&l->transport, false);
    return e;
  }
  transport_keep_buffered(&l->transport);
  l->ops = ops;
  l->worker = w;
  l->replica = replica_ref(replica);
  list_init(&l->node);
  list_push_back(&w->replica_links, &l->worker_node);
  post_init(&l->free_post, release);
  deadline_init(&l->deadline, deadline_fired);
  deadline_in(l, w->config->connect_timeout_s);
  return OK;
}

bool link_worth_keeping(const struct replica_link *l) {
  const struct replica *replica = l->replica;
  return !l->closed && !replica->gone && replica->state == REPLICA_READY && !l->worker->stopping &&
         replica->idle_count < l->worker->config->replica_idle_max;
}

void link_rest(struct replica_link *l) {
  l->resting = true;
  l->replica->idle_count++;
  deadline_in(l, l->worker->config->replica_idle_s);
}

void link_work(struct replica_link *l) {
  if (!l->resting)
    return;
  l->resting = false;
  l->replica->idle_count--;
  deadline_clear(&l->deadline);
}

void link_close(struct replica_link *l) {
  if (l->closed)
    return;
  l->closed = true;
  link_work(l);
  list_remove(&l->node);
  list_remove(&l->worker_node);
  transport_close(&l->transport, l->cut);
  deadline_close(l->worker->loop, &l->deadline);
  l->ops->closed(l);
  loop_post(l->worker->loop, &l->free_post);
}

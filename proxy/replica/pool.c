#include "proxy/replica/pool.h"

#include "lib/base/pool.h"
#include "proxy/replica/http1.h"
#include "proxy/replica/http2.h"
#include "proxy/request/fleet.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

enum { KEEP_OBJECTS = 1024 }; /* freed ones kept for the next */

static const struct replica_ops *const protocols[] = {
    [ENDPOINT_HTTP1] = &replica_http1,
    [ENDPOINT_H2C] = &replica_http2,
};

enum err pool_open(struct worker *w) {
  w->replica_connections = pool_new(sizeof(struct replica_connection), KEEP_OBJECTS, 0);
  w->replica_streams = pool_new(sizeof(struct replica_stream), KEEP_OBJECTS, 0);
  return w->replica_connections && w->replica_streams ? OK : ERR_MEMORY;
}

void pool_close_links(struct worker *w) {
  list_each (node, &w->replica_links)
    link_close(container_of(node, struct replica_link, worker_node));
}

void pool_close(struct worker *w) {
  w->replica_connections = pool_free(w->replica_connections);
  w->replica_streams = pool_free(w->replica_streams);
}

enum err pool_lease(struct request *r) {
  r->replica_ops = protocols[r->endpoint->def->protocol];
  return r->replica_ops->lease(r);
}

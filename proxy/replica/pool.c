#include "proxy/replica/pool.h"

#include "lib/base/pool.h"
#include "proxy/replica/http1.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

enum { KEEP_OBJECTS = 1024 }; /* freed ones kept for the next */

enum err pool_open(struct worker *w) {
  w->replica_connections = pool_new(sizeof(struct replica_connection), KEEP_OBJECTS, 0);
  return w->replica_connections ? OK : ERR_MEMORY;
}

void pool_close_links(struct worker *w) {
  list_each (node, &w->replica_links)
    link_close(container_of(node, struct replica_link, worker_node));
}

void pool_close(struct worker *w) {
  w->replica_connections = pool_free(w->replica_connections);
}

enum err pool_lease(struct request *r) {
  r->replica_ops = &replica_http1;
  return r->replica_ops->lease(r);
}

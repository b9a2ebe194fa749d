#include "proxy/request/lease.h"

#include "proxy/request/fleet.h"
#include "proxy/request/hold_queue.h"
#include "proxy/request/request.h"

void lease_take(struct request *r, struct replica *replica) {
  r->replica = replica_ref(replica);
  r->leased = true;
  cell_add(&replica->cell->active, 1);
  cell_add(&replica->cell->requests_total, 1);
}

void lease_return_place(struct request *r) {
  struct replica_shared *place = r->place;
  r->place = NULL;
  hold_queue_release(r->endpoint ? r->endpoint->shared->hold : NULL, place);
}

void lease_return(struct request *r) {
  if (r->leased) {
    r->leased = false;
    cell_add(&r->replica->cell->active, -1);
    replica_unref(r->replica);
    r->replica = NULL;
  }
  lease_return_place(r);
}

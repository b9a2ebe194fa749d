#include "proxy/replica/loss.h"

#include "proxy/request/fleet.h"
#include "proxy/request/outlier.h"
#include "proxy/request/request.h"

void loss_before_head(struct request *r, enum failure_kind why, bool refused) {
  request_replica_lost(r, why, refused);
}

void loss_in_body(struct request *r) {
  cell_add(&r->replica->cell->failures_total, 1);
  request_end(r, END_REPLICA_FAILED);
}

void loss_of_patience(struct request *r) {
  cell_add(&r->replica->cell->failures_total, 1);
  outlier_failed(r);
  request_fail(r, FAIL_REPLICA_LATE);
  request_end(r, END_TIMEOUT);
}

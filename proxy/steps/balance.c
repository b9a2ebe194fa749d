#include "proxy/steps/balance.h"

#include "proxy/request/fleet.h"
#include "proxy/request/lease.h"
#include "proxy/request/outlier.h"
#include "proxy/request/worker.h"
#include "proxy/steps/steps.h"

enum { OTHERS_FRESH_US = 1000 };

static int64_t load_of(struct worker *w, struct replica *replica) {
  usec_t now = loop_now(w->loop);
  if (now - replica->others_at_us >= OTHERS_FRESH_US) {
    replica->others_at_us = now;
    replica->others_active = 0;
    for (int i = 0; i < w->process->worker_count; i++)
      if (i != w->index)
        replica->others_active += cell_get(&replica->shared->cells[i].active);
  }
  return replica->others_active + cell_get(&replica->cell->active);
}

enum { RANK_GOOD, RANK_AVOIDED, RANK_EJECTED };

static int rank_of(struct worker *w, struct replica *replica, const struct replica_shared *avoid) {
  if (replica->shared == avoid)
    return outlier_ejected(avoid) ? RANK_EJECTED : RANK_AVOIDED;
  return outlier_admits(replica->shared, loop_now(w->loop)) ? RANK_GOOD : RANK_EJECTED;
}

struct replica *balance_pick(struct worker *w, struct endpoint *e,
                             const struct replica_shared *avoid) {
  struct replica *best = NULL;
  int64_t best_load = 0;
  int best_rank = 0;
  unsigned from = e->next_replica++;
  for (int i = 0; i < e->replica_count; i++) {
    struct replica *replica = e->replicas[(from + (unsigned)i) % (unsigned)e->replica_count];
    if (!replica_takes_requests(replica))
      continue;
    bool ejected = outlier_ejected(replica->shared);
    int rank = rank_of(w, replica, avoid);
    if (ejected && rank == RANK_GOOD) /* on trial */
      return replica;
    int64_t load = e->ready_count > 1 ? load_of(w, replica) : 0;
    if (!best || rank < best_rank || (rank == best_rank && load < best_load)) {
      best = replica;
      best_load = load;
      best_rank = rank;
    }
  }
  return best;
}

/* Where the hold has taken a place, there the request goes. */
static struct replica *replica_of_place(const struct request *r) {
  struct endpoint *e = r->endpoint;
  for (int i = 0; i < e->replica_count; i++)
    if (e->replicas[i]->shared == r->place && replica_takes_requests(e->replicas[i]))
      return e->replicas[i];
  return NULL;
}

enum step_result step_balance(struct request *r) {
  struct replica *replica =
      r->place ? replica_of_place(r) : balance_pick(r->worker, r->endpoint, r->avoid);
  if (!replica) { /* it went away meanwhile */
    lease_return_place(r);
    request_back(r, "hold");
    return STEP_NEXT;
  }
  lease_take(r, replica);
  return STEP_NEXT;
}

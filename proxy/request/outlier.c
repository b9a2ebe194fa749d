#include "proxy/request/outlier.h"

#include "lib/net/loop.h"
#include "proxy/config/config.h"
#include "proxy/request/fleet.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

bool outlier_ejected(const struct replica_shared *s) {
  return atomic_load_explicit(&s->trial_at_us, memory_order_relaxed) != 0;
}

bool outlier_admits(struct replica_shared *s, usec_t now) {
  int64_t due = atomic_load_explicit(&s->trial_at_us, memory_order_relaxed);
  if (due == 0)
    return true;
  return now >= due && replica_shared_left(s) > 0 &&
         atomic_compare_exchange_strong(&s->trial_at_us, &due, now + s->eject_us);
}

/* Another worker may do the same to the other one at this moment: who finds itself to be the last
 * lets it be. Each looks after it has written, so at least one of the two sees the other. */
static void eject(struct request *r) {
  struct worker *w = r->worker;
  struct replica_shared *s = r->replica->shared;
  usec_t pause = w->config->eject_s * USEC_PER_S;
  int64_t in = 0;
  atomic_store(&s->eject_us, pause);
  if (!atomic_compare_exchange_strong(&s->trial_at_us, &in, loop_now(w->loop) + pause))
    return;
  atomic_thread_fence(memory_order_seq_cst);
  if (endpoint_has_other(r->replica->endpoint, s))
    cell_add(&w->cell->ejections, 1);
  else
    atomic_store(&s->trial_at_us, 0);
}

void outlier_failed(struct request *r) {
  struct replica *replica = r->replica;
  int64_t most = r->worker->config->eject_failures;
  if (!replica || replica->gone || most == 0)
    return;
  int64_t failures = atomic_fetch_add(&replica->shared->failures, 1) + 1;
  if (failures >= most && !outlier_ejected(replica->shared) &&
      endpoint_has_other(replica->endpoint, replica->shared))
    eject(r);
}

/* Those who wait may go there again. */
static void readmit(struct request *r) {
  atomic_store(&r->replica->shared->trial_at_us, 0);
  hold_queue_look(r->endpoint->shared->hold);
}

void outlier_answered(struct request *r, int status) {
  if (!r->replica)
    return; /* a step has answered in its place */
  struct replica_shared *s = r->replica->shared;
  if (status >= 500) {
    outlier_failed(r);
    return;
  }
  if (atomic_load_explicit(&s->failures, memory_order_relaxed) == 0)
    return;
  atomic_store(&s->failures, 0);
  if (outlier_ejected(s))
    readmit(r);
}

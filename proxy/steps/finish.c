/* Every request ends here, once. */
#include "lib/fleet/meter.h"
#include "proxy/request/access_log.h"
#include "proxy/request/account.h"
#include "proxy/request/fleet.h"
#include "proxy/request/lease.h"
#include "proxy/request/worker.h"
#include "proxy/steps/steps.h"

enum step_result step_finish(struct request *r) {
  account_over(r);
  access_log_request(r->worker->log, r);
  lease_return(r);
  if (r->metered)
    meter_leave(r->meter);
  r->meter = meter_unref(r->meter);
  endpoint_unref(r->endpoint);
  r->endpoint = NULL;
  return STEP_DONE;
}

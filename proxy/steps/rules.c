#include "proxy/steps/rules.h"

#include <string.h>

#include "lib/net/address.h"
#include "proxy/request/fleet.h"
#include "proxy/request/peer.h"
#include "proxy/request/worker.h"

static bool by_address(const struct request *r) {
  const struct endpoint *e = r->endpoint;
  struct sockaddr_storage client;
  if (peer_client(r, &client) != OK)
    return false;
  for (int i = 0; i < e->allowed_count; i++)
    if (address_range_has(&e->allowed[i], (const struct sockaddr *)&client))
      return true;
  return false;
}

static bool by_vpc_endpoint(const struct request *r) {
  const char *said = r->identity->vpc_endpoint;
  for (char **id = r->endpoint->def->vpc_endpoints; said && *id; id++)
    if (strcmp(*id, said) == 0)
      return true;
  return false;
}

static bool given(char *const *words) {
  return words && words[0];
}

/* The first kind that does not hold; ACCESS_RULES: all do. */
static enum access_rule broken(const struct request *r) {
  const struct endpoint_def *def = r->endpoint->def;
  if (given(def->allow_addresses) && !by_address(r))
    return RULE_ADDRESSES;
  if (given(def->vpc_endpoints) && !by_vpc_endpoint(r))
    return RULE_VPC_ENDPOINTS;
  return ACCESS_RULES;
}

enum step_result rules_check(struct request *r) {
  enum access_rule rule = broken(r);
  if (rule == ACCESS_RULES)
    return STEP_NEXT;
  cell_add(&r->worker->cell->forbidden, 1);
  cell_add(&r->worker->cell->denied[rule], 1);
  return request_fail(r,
                      (struct failure){.status = 403,
                                       .type = "invalid_request_error",
                                       .code = "access_denied",
                                       .message = "This endpoint may not be reached from here."});
}

#include "proxy/steps/rules.h"

#include <string.h>

#include "lib/net/address.h"
#include "lib/net/tls.h"
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

/* Host names are the same in either case (RFC 4343). */
static bool is_named(const char *names, const char *as) {
  for (; *names; names += strlen(names) + 1)
    if (*names == TLS_NAME_DNS ? strcasecmp(names + 1, as) == 0 : strcmp(names + 1, as) == 0)
      return true;
  return strcmp(as, "*") == 0;
}

static bool by_certificate(const struct request *r) {
  const char *names = r->identity->certificate_names;
  for (char **name = r->endpoint->def->client_certificates; names && *name; name++)
    if (is_named(names, *name))
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
  if (given(def->client_certificates) && !by_certificate(r))
    return RULE_CLIENT_CERTIFICATES;
  return ACCESS_RULES;
}

enum step_result rules_check(struct request *r) {
  enum access_rule rule = broken(r);
  if (rule == ACCESS_RULES)
    return STEP_NEXT;
  cell_add(&r->worker->cell->denied[rule], 1);
  return request_fail(r, FAIL_RULE_DENIED);
}

/* Which endpoint answers for this host and path. */
#include <ctype.h>

#include "proxy/request/fleet.h"
#include "proxy/request/worker.h"
#include "proxy/steps/steps.h"

/* Lower case, without port and without the dot of an absolute name. */
static struct slice host_of(struct request *r) {
  struct slice host = r->head.authority;
  if (!host.data)
    return SLICE_NONE;
  const char *colon = memrchr(host.data, ':', host.len);
  const char *bracket = memchr(host.data, ']', host.len);
  if (colon && (!bracket || colon > bracket))
    host.len = (size_t)(colon - host.data);
  if (host.len && host.data[host.len - 1] == '.')
    host.len--;
  host = arena_copy(&r->arena, host);
  for (size_t i = 0; i < host.len && host.data; i++)
    ((char *)host.data)[i] = (char)tolower((unsigned char)host.data[i]);
  return host;
}

static struct slice path_of(const struct request *r) {
  struct slice target = r->head.target;
  const char *query = memchr(target.data, '?', target.len);
  return query ? slice_of(target.data, (size_t)(query - target.data)) : target;
}

enum step_result step_route(struct request *r) {
  r->host = host_of(r);
  r->path = path_of(r);
  if (!r->host.data && r->head.authority.len)
    return request_fail(r, FAIL_NO_MEMORY);
  r->by_model = fleet_by_model(&r->worker->fleet, r->host);
  if (r->by_model)
    return STEP_NEXT;
  struct endpoint *e = fleet_route(&r->worker->fleet, r->host, r->path, &r->strip);
  if (!e && !r->worker->fleet_known) /* then nobody can say that it does not exist */
    return request_fail(r, FAIL_STARTING_ENDPOINTS);
  if (!e)
    return request_fail(r, FAIL_NO_ENDPOINT);
  r->endpoint = endpoint_ref(e);
  return STEP_NEXT;
}

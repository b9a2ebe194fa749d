#include "proxy/request/peer.h"

#include <stdlib.h>

#include "lib/net/address.h"
#include "proxy/request/request.h"
#include "proxy/request/worker.h"

void identity_forget(struct identity *i) {
  free(i->vpc_endpoint);
  free(i->certificate_names);
  *i = (struct identity){0};
}

bool peer_trusted(const struct worker *w, const struct sockaddr_storage *peer) {
  for (int i = 0; i < w->trusted_count; i++)
    if (address_range_has(&w->trusted[i], (const struct sockaddr *)peer))
      return true;
  return false;
}

bool peer_counts(const struct worker *w, const struct sockaddr_storage *peer) {
  return peer->ss_family != AF_UNIX && !peer_trusted(w, peer);
}

/* Cuts the last element of a comma-separated list from *rest. False when none is left. */
static bool list_last(struct slice *rest, struct slice *element) {
  const char *comma = rest->len ? memrchr(rest->data, ',', rest->len) : NULL;
  if (!rest->data)
    return false;
  size_t keep = comma ? (size_t)(comma - rest->data) : 0;
  *element = slice_trim(slice_skip(*rest, comma ? keep + 1 : 0));
  *rest = comma ? slice_of(rest->data, keep) : SLICE_NONE;
  return true;
}

/* From one field's end; *found once an address is there that is no trusted peer's. */
static enum err walk(const struct worker *w, struct slice list, struct sockaddr_storage *client,
                     bool *found) {
  struct slice one;
  while (!*found && list_last(&list, &one)) {
    if (one.len == 0) /* RFC 9110, 5.6.1 */
      continue;
    if (address_host_parse(one, client) != OK)
      return ERR_SYNTAX;
    *found = !peer_trusted(w, client);
  }
  return OK;
}

enum err peer_client(const struct request *r, struct sockaddr_storage *client) {
  *client = *r->peer;
  if (r->unnamed)
    return ERR_SYNTAX;
  bool found = !r->trusted_peer || !peer_trusted(r->worker, r->peer); /* a reload may say so */
  enum err e = OK;
  for (int i = r->head.field_count - 1; !e && !found && i >= 0; i--)
    if (r->head.fields[i].id == HTTP_X_FORWARDED_FOR)
      e = walk(r->worker, r->head.fields[i].value, client, &found);
  return e;
}

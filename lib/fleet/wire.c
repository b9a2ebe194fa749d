#include "lib/fleet/wire.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/fleet/endpoint.h"
#include "lib/fleet/endpoint_rows.h"
#include "lib/option/option.h"

void endpoint_def_write(const struct endpoint_def *d, struct buf *out) {
  struct endpoint_def public = *d;
  public.process.environment = NULL;
  option_values(&endpoint_table, &public, out);
}

enum err endpoint_def_read(const char *name, struct slice text, struct endpoint_def **out,
                           struct buf *why) {
  struct endpoint_def *d = calloc(1, sizeof *d);
  char *copy = d ? strdup(name) : NULL;
  if (!copy) {
    free(d);
    return ERR_MEMORY;
  }
  d->name = copy; /* a check may want to know it */
  d->refs = 1;
  enum err e = option_load_text(&endpoint_table, name, text, d, why);
  if (!e) {
    *out = d;
    return OK;
  }
  free(copy);
  free(d);
  return e;
}

void replica_record_write(const struct replica_record *r, struct buf *out) {
  buf_str(out, "{\"address\":");
  buf_json(out, slice_str(r->address));
  buf_printf(out, ",\"state\":\"%s\",\"since_ms\":%lld,\"handle\":", replica_state_word(r->state),
             (long long)r->since_ms);
  buf_json(out, slice_str(r->handle));
  buf_str(out, ",\"made\":");
  buf_json(out, slice_str(r->made));
  buf_str(out, "}");
}

static enum err read_members(const json_t *root, struct replica_record *r) {
  const char *address = json_string_value(json_object_get(root, "address"));
  const char *state = json_string_value(json_object_get(root, "state"));
  if (!address || strlen(address) >= sizeof r->address || !state)
    return ERR_SYNTAX;
  memcpy(r->address, address, strlen(address) + 1);
  const char *handle = json_string_value(json_object_get(root, "handle"));
  if (handle && strlen(handle) < sizeof r->handle)
    memcpy(r->handle, handle, strlen(handle) + 1);
  const char *made = json_string_value(json_object_get(root, "made"));
  if (made && strlen(made) < sizeof r->made)
    memcpy(r->made, made, strlen(made) + 1);
  r->since_ms = json_integer_value(json_object_get(root, "since_ms"));
  for (int i = 0; i <= REPLICA_FAILED; i++)
    if (strcmp(state, replica_state_word((enum replica_state)i)) == 0) {
      r->state = (enum replica_state)i;
      return OK;
    }
  return ERR_SYNTAX;
}

enum err replica_record_read(struct slice id, struct slice text, struct replica_record *r) {
  if (id.len == 0 || id.len >= sizeof r->id)
    return ERR_SYNTAX;
  *r = (struct replica_record){0};
  memcpy(r->id, id.data, id.len);
  json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
  enum err e = root ? read_members(root, r) : ERR_SYNTAX;
  json_decref(root);
  return e;
}

/* Any text where the store keeps an endpoint's definition, a replica, a token or the handle of a
 * process: read or refused; what was read is written as the same again. The first byte says which.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/fleet/endpoint.h"
#include "lib/fleet/token_text.h"
#include "lib/fleet/wire.h"
#include "scheduler/process_handle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void definition(struct slice text) {
  struct buf why = BUF_INIT(1 << 16), once = BUF_INIT(1 << 20), twice = BUF_INIT(1 << 20);
  struct endpoint_def *d, *again;
  if (endpoint_def_read("demo", text, &d, &why) == OK) {
    endpoint_def_write(d, &once);
    assert(!once.failed && endpoint_def_read("demo", buf_slice(&once), &again, &why) == OK);
    endpoint_def_write(again, &twice);
    assert(slice_equal(buf_slice(&once), buf_slice(&twice)));
    endpoint_def_unref(again);
    endpoint_def_unref(d);
  } else {
    assert(why.len);
  }
  buf_free(&why);
  buf_free(&once);
  buf_free(&twice);
}

static void replica(struct slice text) {
  struct replica_record r, again;
  struct buf b = BUF_INIT(1 << 16);
  if (replica_record_read(SLICE("demo-1"), text, &r) == OK) {
    replica_record_write(&r, &b);
    assert(replica_record_read(SLICE("demo-1"), buf_slice(&b), &again) == OK);
    assert(memcmp(&r, &again, sizeof r) == 0);
  }
  buf_free(&b);
}

static void token(struct slice text) {
  struct token *t, *again;
  struct buf b = BUF_INIT(1 << 20);
  if (token_read(text, &t) == OK) {
    token_write(t, &b);
    assert(!b.failed && token_read(buf_slice(&b), &again) == OK);
    token_free(again);
    token_free(t);
  }
  buf_free(&b);
}

static void handle(struct slice text) {
  char copy[sizeof((struct replica_record *)0)->handle] = "";
  memcpy(copy, text.data, text.len < sizeof copy ? text.len : sizeof copy - 1);
  process_handle_holds(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const kinds[])(struct slice) = {definition, replica, token, handle};
  if (size)
    kinds[data[0] % 4](slice_of((const char *)data + 1, size - 1));
  return 0;
}

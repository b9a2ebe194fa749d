#include "proxy/client/crowd.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"
#include "lib/net/address.h"

struct network {
  unsigned char key[ADDRESS_KEY_BYTES];
  int64_t connections;
};

struct crowd {
  pthread_mutex_t lock;
  struct map networks;
};

struct crowd *crowd_new(void) {
  struct crowd *c = calloc(1, sizeof *c);
  if (!c)
    return NULL;
  pthread_mutex_init(&c->lock, NULL);
  map_init(&c->networks, SIZE_MAX / 2);
  return c;
}

struct crowd *crowd_free(struct crowd *c) {
  if (!c)
    return NULL;
  size_t at = 0;
  for (struct network *n; (n = map_next(&c->networks, &at));)
    free(n);
  map_clear(&c->networks);
  pthread_mutex_destroy(&c->lock);
  free(c);
  return NULL;
}

static struct slice key_of(const unsigned char *key) {
  return slice_of((const char *)key, ADDRESS_KEY_BYTES);
}

/* NULL when memory ran out. */
static struct network *network_of(struct crowd *c, const unsigned char *key) {
  struct network *n = map_get(&c->networks, key_of(key));
  if (n)
    return n;
  n = calloc(1, sizeof *n);
  if (!n)
    return NULL;
  memcpy(n->key, key, sizeof n->key);
  if (map_put(&c->networks, key_of(n->key), n) == OK)
    return n;
  free(n);
  return NULL;
}

bool crowd_enter(struct crowd *c, const struct sockaddr *peer, int64_t most) {
  unsigned char key[ADDRESS_KEY_BYTES];
  address_network_key(peer, key);
  pthread_mutex_lock(&c->lock);
  struct network *n = network_of(c, key);
  bool good = n && n->connections < most;
  if (good)
    n->connections++;
  pthread_mutex_unlock(&c->lock);
  return good;
}

void crowd_leave(struct crowd *c, const struct sockaddr *peer) {
  unsigned char key[ADDRESS_KEY_BYTES];
  address_network_key(peer, key);
  pthread_mutex_lock(&c->lock);
  struct network *n = map_get(&c->networks, key_of(key));
  if (n && --n->connections == 0) {
    map_remove(&c->networks, key_of(key));
    free(n);
  }
  pthread_mutex_unlock(&c->lock);
}

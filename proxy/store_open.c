#include "proxy/store_open.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/store/redis.h"
#include "lib/store/store.h"
#include "proxy/config/config.h"

static struct store *redis_open(struct loop *loop, const struct config *config, const char *id,
                                bool proxy) {
  const struct config_redis *r = &config->redis;
  struct redis_store_settings settings = {.redis = {.address = r->address,
                                                    .user = r->user,
                                                    .password = r->password,
                                                    .database = r->database,
                                                    .prefix = r->prefix,
                                                    .sentinels = r->sentinels,
                                                    .master = r->master,
                                                    .sentinel_user = r->sentinel_user,
                                                    .sentinel_password = r->sentinel_password,
                                                    .timeout_ms = r->timeout_ms},
                                          .id = id,
                                          .proxy = proxy,
                                          .lease_ms = config->lease_ms,
                                          .refresh_ms = config->refresh_ms};
  return redis_store_new(loop, &settings);
}

struct store *store_open(struct loop *loop, const struct config *config, const char *id,
                         bool proxy) {
  if (config->store == CONFIG_STORE_REDIS)
    return redis_open(loop, config, id, proxy);
  return memory_store_new(loop, config->token_file, config->lease_ms);
}

bool store_identify(char id[PROCESS_ID_BYTES]) {
  unsigned random;
  char host[40] = "";
  if (getrandom(&random, sizeof random, 0) != sizeof random)
    return false;
  gethostname(host, sizeof host - 1);
  for (char *c = host; *c; c++) /* it stands in keys */
    if (strchr("/:{} ", *c))
      *c = '-';
  snprintf(id, PROCESS_ID_BYTES, "%s-%08x", host, random);
  return true;
}

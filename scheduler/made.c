#include "scheduler/made.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "lib/fleet/endpoint_rows.h"
#include "lib/option/option.h"
#include "scheduler/config.h"

/* With its end, so that "ab", "c" is not "a", "bc"; and what is not given is not empty. */
static int add_text(EVP_MD_CTX *c, const char *text) {
  return EVP_DigestUpdate(c, text ? "=" : "-", 1) &&
         (!text || EVP_DigestUpdate(c, text, strlen(text) + 1));
}

static int add_row(EVP_MD_CTX *c, const struct option_row *row, const char *object) {
  const void *at = object + row->offset;
  if (row->type == OPTION_STRING)
    return add_text(c, *(char *const *)at);
  assert(row->type == OPTION_STRINGS || row->type == OPTION_PAIRS);
  for (char *const *t = *(char *const *const *)at; t && *t; t++)
    if (!add_text(c, *t))
      return 0;
  return add_text(c, NULL);
}

static int digest(EVP_MD_CTX *c, const struct endpoint_def *def, const char *host,
                  unsigned char *hash) {
  int good = EVP_DigestInit_ex(c, EVP_sha256(), NULL) && add_text(c, host);
  for (const struct option_row *row = endpoint_process_table.rows; good && row->key; row++)
    good = add_text(c, row->key) && add_row(c, row, (const char *)&def->process);
  return good && EVP_DigestFinal_ex(c, hash, NULL);
}

void made_of(const struct endpoint_def *def, const struct scheduler_config *config,
             char to[REPLICA_MADE_BYTES]) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  to[0] = '\0';
  if (def->driver != ENDPOINT_DRIVER_PROCESS)
    return;
  EVP_MD_CTX *c = EVP_MD_CTX_new();
  if (c && digest(c, def, config->host, hash))
    for (int i = 0; i < REPLICA_MADE_BYTES / 2; i++)
      snprintf(to + 2 * i, 3, "%02x", hash[i]);
  EVP_MD_CTX_free(c);
}

#include "proxy/greeting.h"

#include <stdio.h>
#include <string.h>

#include "lib/fleet/endpoint.h"
#include "lib/net/address.h"
#include "proxy/file.h"

static const struct endpoint_def *default_endpoint(const struct file *f) {
  for (int i = 0; i < f->endpoint_count; i++)
    if (f->endpoints[i]->is_default)
      return f->endpoints[i];
  return NULL;
}

static const struct config_listener *tls_listener(const struct file *f) {
  for (int i = 0; i < f->config.listener_count; i++)
    if (f->config.listeners[i].tls && f->config.listeners[i].certificate_count == 0)
      return &f->config.listeners[i];
  return NULL;
}

static void print_request(const struct config_listener *l, const struct endpoint_def *e, int port,
                          const char *options) {
  printf("  curl -sS --cacert %s/ca.pem %s \\\n"
         "    -H 'Authorization: Bearer hr_%s' -H 'Content-Type: application/json' \\\n"
         "    -d "
         "'{\"model\":\"%s\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
         "\"Hello\"}]}' \\\n"
         "    https://localhost:%d/v1/chat/completions\n",
         l->self_signed_directory, options, e->name, e->name, port);
}

void greeting_print(const struct file *f) {
  printf("ready\n");
  const struct endpoint_def *e = default_endpoint(f);
  const struct config_listener *l = tls_listener(f);
  struct address a;
  if (e && l && address_parse(l->address, &a) == OK) {
    int port = address_port((struct sockaddr *)&a.storage);
    printf("\nThe endpoint is at zero replicas. Without a word about waiting, it says 503 with "
           "Retry-After:\n\n");
    print_request(l, e, port, "-i");
    printf("\nThe same request, held until a replica is up, then streamed, over HTTP/2 and over "
           "HTTP/1.1:\n\n");
    print_request(l, e, port, "-N --http2 -H 'X-Scale-Up-Timeout: 60'");
    printf("\n");
    print_request(l, e, port, "-N --http1.1 -H 'X-Scale-Up-Timeout: 60'");
  }
  fflush(stdout);
}

#include "scheduler/config.h"

#include <arpa/inet.h>
#include <stddef.h>

#include "lib/option/option.h"

#define AT(member) offsetof(struct scheduler_config, member)

static void check_ports(struct option_load *l, const struct option_path *at, struct json_t *given,
                        void *object) {
  struct scheduler_config *c = object;
  if (c->port_min > c->port_max)
    option_error(l, at, "port_min", "%lld is more than port_max (%lld)", (long long)c->port_min,
                 (long long)c->port_max);
  struct in_addr a;
  if (c->host && inet_pton(AF_INET, c->host, &a) != 1)
    option_error(l, at, "host",
                 "\"%s\" is not an IPv4 address; allowed is \"10.0.0.5\" for example", c->host);
}

const struct option_table scheduler_table = {
    sizeof(struct scheduler_config),
    (const struct option_row[]){
        {"port_min", OPTION_INTEGER, AT(port_min), .min = 1024, .max = 65535, .standard = "20000",
         .reload = OPTION_RESTART,
         .help =
             "First port given to children; keep the range outside the system's ephemeral ports."},
        {"port_max", OPTION_INTEGER, AT(port_max), .min = 1024, .max = 65535, .standard = "29999",
         .reload = OPTION_RESTART, .help = "Last port given to children."},
        {"host", OPTION_STRING, AT(host), .standard = "\"127.0.0.1\"", .reload = OPTION_RESTART,
         .help = "This machine's IPv4 address: children listen there ({host}), and proxies reach "
                 "them there."},
        {"state_directory", OPTION_STRING, AT(state_directory), .standard = "\"run/state\"",
         .reload = OPTION_RESTART, .help = "Port locks are kept here."},
        {"tick_ms", OPTION_INTEGER, AT(tick_ms), .min = 100, .max = 60000, .unit = "ms",
         .standard = "1000", .reload = OPTION_RESTART, .help = "How often load is looked at."},
        {NULL},
    },
    check_ports};

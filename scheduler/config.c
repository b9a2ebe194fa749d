#include "scheduler/config.h"

#include <stddef.h>

#include "lib/option/option.h"

#define AT(member) offsetof(struct scheduler_config, member)

static void check_ports(struct option_load *l, const struct option_path *at, struct json_t *given,
                        void *object) {
  struct scheduler_config *c = object;
  if (c->port_min > c->port_max)
    option_error(l, at, "port_min", "%lld is more than port_max (%lld)", (long long)c->port_min,
                 (long long)c->port_max);
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
        {"state_directory", OPTION_STRING, AT(state_directory), .standard = "\"run/state\"",
         .reload = OPTION_RESTART, .help = "Port locks are kept here."},
        {"tick_ms", OPTION_INTEGER, AT(tick_ms), .min = 100, .max = 60000, .unit = "ms",
         .standard = "1000", .reload = OPTION_RESTART, .help = "How often load is looked at."},
        {NULL},
    },
    check_ports};

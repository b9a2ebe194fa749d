#include "lib/fleet/endpoint_rows.h"

#include <jansson.h>
#include <string.h>

#include "lib/fleet/endpoint.h"
#include "lib/net/address.h"
#include "lib/option/option.h"

#define AT(member) offsetof(struct endpoint_def, member)

enum { DAY_S = 86400, YEAR_S = 366 * DAY_S };

#define WHOLE(key_, member, min_, max_, unit_, standard_, help_)                                   \
  {                                                                                                \
    key_, OPTION_INTEGER, AT(member), .min = min_, .max = max_, .unit = unit_,                     \
                                      .standard = standard_, .help = help_                         \
  }

static const char *const access_words[] = {"private", "authenticated", "public", NULL};
static const char *const protocols[] = {"http1", "h2c", NULL};
static const char *const drivers[] = {"process", "static", NULL};

static void check_route(struct option_load *l, const struct option_path *at, struct json_t *given,
                        void *object) {
  struct endpoint_route *route = object;
  if (!route->prefix || route->prefix[0] != '/')
    option_error(l, at, "prefix", "must begin with \"/\"");
}

static const struct option_table route_table = {
    sizeof(struct endpoint_route),
    (const struct option_row[]){
        {"prefix", OPTION_STRING, offsetof(struct endpoint_route, prefix), .required = true,
         .help = "Path prefix; it matches whole segments."},
        {"strip", OPTION_BOOL, offsetof(struct endpoint_route, strip), .standard = "false",
         .help = "Whether the prefix is cut before the request goes on."},
        {NULL},
    },
    check_route};

static const struct option_table cors_table = {
    sizeof(struct endpoint_cors),
    (const struct option_row[]){
        {"origins", OPTION_STRINGS, offsetof(struct endpoint_cors, origins), .standard = "[\"*\"]",
         .help = "Origins that may call: exact ones, or \"*\"."},
        {"methods", OPTION_STRINGS, offsetof(struct endpoint_cors, methods),
         .standard = "[\"GET\", \"POST\", \"OPTIONS\"]", .help = "Methods they may use."},
        {"headers", OPTION_STRINGS, offsetof(struct endpoint_cors, headers), .standard = "[]",
         .help = "Request headers they may send; empty: whatever they ask for."},
        {"expose", OPTION_STRINGS, offsetof(struct endpoint_cors, expose),
         .standard = "[\"x-request-id\"]", .help = "Response headers they may read."},
        {"credentials", OPTION_BOOL, offsetof(struct endpoint_cors, credentials),
         .standard = "false", .help = "Whether cookies and client certificates may be sent."},
        {"max_age_s", OPTION_INTEGER, offsetof(struct endpoint_cors, max_age_s), .min = 0,
         .max = DAY_S, .unit = "s", .standard = "600",
         .help = "How long a preflight is remembered."},
        {NULL},
    },
    NULL};

const struct option_table endpoint_process_table = {
    sizeof(struct endpoint_process),
    (const struct option_row[]){
        {"command", OPTION_STRINGS, offsetof(struct endpoint_process, command), .standard = "[]",
         .sample =
             "[\"vllm\", \"serve\", \"MODEL\", \"--host\", \"{host}\", \"--port\", \"{port}\"]",
         .help = "Program and arguments; {port}, {host}, {replica} and {endpoint} are replaced."},
        {"environment", OPTION_PAIRS, offsetof(struct endpoint_process, environment),
         .standard = "{}",
         .help = "Added to the environment; values may be env:NAME or file:PATH."},
        {"directory", OPTION_STRING, offsetof(struct endpoint_process, directory),
         .standard = "\".\"", .help = "Working directory of the process."},
        {"log_directory", OPTION_STRING, offsetof(struct endpoint_process, log_directory),
         .standard = "\"run/log\"", .help = "Output goes to a file per replica here."},
        {NULL},
    },
    NULL};

static const struct option_table health_table = {
    sizeof(struct endpoint_def),
    (const struct option_row[]){
        {"path", OPTION_STRING, AT(health_path), .sample = "\"/health\"",
         .help = "Health route: 200 is ready. Without one, the port accepting is enough."},
        WHOLE("interval_ms", health_interval_ms, 50, 600000, "ms", "1000",
              "How often a ready replica is asked; a starting one is asked every 100 ms at least."),
        WHOLE("timeout_ms", health_timeout_ms, 10, 600000, "ms", "2000",
              "How long an answer may take."),
        {NULL},
    },
    NULL};

/* scale_to_zero_s needs min_replicas 0: said together, one of them is a mistake. */
static void check_scaling(struct option_load *l, const struct option_path *at, struct json_t *given,
                          void *object) {
  struct endpoint_scaling *s = object;
  if (s->min_replicas > s->max_replicas)
    option_error(l, at, "min_replicas",
                 "%lld is more than max_replicas (%lld); lower it or raise the other",
                 (long long)s->min_replicas, (long long)s->max_replicas);
  if (s->min_replicas == 0)
    return;
  if (json_object_get(given, "scale_to_zero_s") && s->scale_to_zero_s > 0)
    option_error(
        l, at, "scale_to_zero_s",
        "needs min_replicas 0, which is %lld; set min_replicas to 0 or remove scale_to_zero_s",
        (long long)s->min_replicas);
  s->scale_to_zero_s = 0;
}

#define SCALE(member) offsetof(struct endpoint_scaling, member)

static const struct option_table scaling_table = {
    sizeof(struct endpoint_scaling),
    (const struct option_row[]){
        {"min_replicas", OPTION_INTEGER, SCALE(min_replicas), .min = 0, .max = 256, .standard = "0",
         .help = "Never fewer; 0 allows scaling to zero."},
        {"max_replicas", OPTION_INTEGER, SCALE(max_replicas), .min = 1, .max = 256, .standard = "1",
         .help = "Never more."},
        {"scale_to_zero_s", OPTION_INTEGER, SCALE(scale_to_zero_s), .min = 0, .max = YEAR_S,
         .unit = "s", .standard = "3600",
         .help = "To zero replicas after this long without requests; 0 is never. Needs "
                 "min_replicas 0."},
        {"pending_per_replica", OPTION_REAL, SCALE(pending_per_replica), .min = 0.01, .max = 10000,
         .standard = "1.5",
         .help = "Mean pending requests per ready or starting replica above which one is added."},
        {"scale_up_window_s", OPTION_INTEGER, SCALE(scale_up_window_s), .min = 1, .max = 3600,
         .unit = "s", .standard = "20", .help = "Over how long that mean is taken."},
        {"scale_down_window_s", OPTION_INTEGER, SCALE(scale_down_window_s), .min = 1, .max = DAY_S,
         .unit = "s", .standard = "300",
         .help = "One is removed when the mean over this would stay below with one fewer."},
        {NULL},
    },
    check_scaling};

static bool is_label(const char *name) {
  size_t n = strlen(name);
  if (n == 0 || n > ENDPOINT_NAME_BYTES_MAX || name[0] == '-' || name[n - 1] == '-')
    return false;
  return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static void check_static(struct option_load *l, const struct option_path *at,
                         const struct endpoint_def *d) {
  if (!d->addresses || !d->addresses[0])
    option_error(l, at, "driver", "static needs \"addresses\": [\"127.0.0.1:8000\"]");
  for (char **text = d->addresses; text && *text; text++) {
    struct address a;
    if (address_parse(*text, &a) != OK)
      option_error(l, at, "addresses",
                   "\"%s\" is not an address; allowed is \"127.0.0.1:8000\", \"[::1]:8000\" or "
                   "\"unix:PATH\"",
                   *text);
  }
}

static void check_rules(struct option_load *l, const struct option_path *at,
                        const struct endpoint_def *d) {
  struct address_range r;
  for (char **text = d->allow_addresses; text && *text; text++)
    if (address_range_parse(*text, &r) != OK)
      option_error(
          l, at, "allow_addresses",
          "\"%s\" is not an address range; allowed is \"10.0.0.0/8\", \"2001:db8::/32\" or "
          "\"unix\"",
          *text);
  for (char **id = d->vpc_endpoints; id && *id; id++)
    if (strncmp(*id, "vpce-", 5) != 0)
      option_error(l, at, "vpc_endpoints",
                   "\"%s\" is not the id of a VPC endpoint; allowed is \"vpce-08d2bf15fac5001c9\"",
                   *id);
}

static void check_names(struct option_load *l, const struct option_path *at, char *const *names) {
  for (; names && *names; names++)
    if (!**names)
      option_error(l, at, "client_certificates",
                   "an empty name is nobody's; name one, or \"*\" for any good certificate");
}

static void check_endpoint(struct option_load *l, const struct option_path *at,
                           struct json_t *given, void *object) {
  struct endpoint_def *d = object;
  d->refs = 1;
  if (!is_label(d->name))
    option_error(l, at, NULL,
                 "an endpoint's name is a DNS label: a-z, 0-9 and -, at most %d characters",
                 ENDPOINT_NAME_BYTES_MAX);
  if (d->access == ACCESS_PRIVATE && !d->owner && !(d->organisations && d->organisations[0]))
    option_error(l, at, NULL,
                 "a private endpoint needs an \"owner\" or \"organisations\", or nobody "
                 "could reach it; or set \"access\"");
  check_rules(l, at, d);
  check_names(l, at, d->client_certificates);
  if (d->driver == ENDPOINT_DRIVER_STATIC)
    check_static(l, at, d);
  else if (!d->process.command || !d->process.command[0])
    option_error(l, at, NULL, "the process driver needs \"process\": {\"command\": [...]}");
}

const struct option_table endpoint_table = {
    sizeof(struct endpoint_def),
    (const struct option_row[]){
        {"hosts", OPTION_STRINGS, AT(hosts), .standard = "[]",
         .help = "Exact hosts it answers for, besides <name>.<domain>."},
        {"models", OPTION_STRINGS, AT(models), .standard = "[]",
         .help = "Models it answers for, besides its own name, at the hosts of model_routing."},
        {"default", OPTION_BOOL, AT(is_default), .standard = "false",
         .help = "It answers for hosts nobody else claims."},
        {"routes", OPTION_OBJECTS, AT(routes), AT(route_count), .table = &route_table,
         .help = "Path prefixes it answers for on any host that no endpoint claims."},
        {"access", OPTION_WORD, AT(access), .words = access_words, .standard = "\"private\"",
         .help = "private: tokens of its owner or organisations; authenticated: any known token; "
                 "public."},
        {"owner", OPTION_STRING, AT(owner), .sample = "\"me\"",
         .help = "Whose tokens may reach a private endpoint."},
        {"organisations", OPTION_STRINGS, AT(organisations), .standard = "[]",
         .help = "Organisations whose tokens may, too."},
        {"allow_addresses", OPTION_STRINGS, AT(allow_addresses), .standard = "[]",
         .help =
             "Address ranges (\"10.0.0.0/8\", \"2001:db8::/32\", \"unix\") from which alone it may "
             "be reached: 403 from elsewhere, whatever the token. Empty: from anywhere."},
        {"vpc_endpoints", OPTION_STRINGS, AT(vpc_endpoints), .standard = "[]",
         .help =
             "AWS VPC endpoints (\"vpce-...\") through which alone it may be reached, as the PROXY "
             "header of a listener with proxy_protocol says. Empty: through any, or none."},
        {"client_certificates", OPTION_STRINGS, AT(client_certificates), .standard = "[]",
         .help = "Names (common name, or DNS name or URI as alternative name) of the client "
                 "certificates with which alone it may be reached; \"*\": any good one. Empty: "
                 "without, too."},
        {"pass_token", OPTION_BOOL, AT(pass_token), .standard = "false",
         .help = "Whether the Authorization field goes on to the replica."},
        {"protocol", OPTION_WORD, AT(protocol), .words = protocols, .standard = "\"http1\"",
         .help = "What is spoken to replicas: http1; h2c: HTTP/2 in clear, many requests on one "
                 "connection. health.path is asked by HTTP/1.1 in either case."},
        {"cors", OPTION_OBJECT, AT(cors), .table = &cors_table, .given_offset = AT(cors.enabled),
         .help = "Given: browsers of other origins may call; preflights need no token."},
        WHOLE("concurrency_max", concurrency_max, 0, 1000000, NULL, "0",
              "Requests at once per replica; more queue. 0 is no limit."),
        WHOLE("queue_max_s", queue_max_s, 1, DAY_S, "s", "60",
              "How long a request queues while every replica is full."),
        WHOLE("hold_requests_max", hold_requests_max, 1, 1000000, NULL, "10000",
              "Requests waiting at once: beyond it 429, or 503 while no replica is ready."),
        WHOLE("hold_bytes_max", hold_bytes_max, 65536, 1e13, "bytes", "268435456",
              "Memory of the requests waiting."),
        WHOLE("body_limit_bytes", body_limit_bytes, 0, 1e15, "bytes", "0",
              "Largest request body; 0: what client.body_limit_bytes says."),
        WHOLE("head_timeout_s", head_timeout_s, 0, DAY_S, "s", "0",
              "Waiting for a response head; 0: what replica.head_timeout_s says."),
        {"paused", OPTION_BOOL, AT(paused), .standard = "false",
         .help = "No replicas; requests get 400 endpoint_paused."},
        {"driver", OPTION_WORD, AT(driver), .words = drivers, .standard = "\"process\"",
         .help =
             "process: local children are started and stopped; static: addresses that are there."},
        {"addresses", OPTION_STRINGS, AT(addresses), .standard = "[]",
         .help = "static: where the replicas are."},
        {"process", OPTION_OBJECT, AT(process), .table = &endpoint_process_table,
         .help = "process: what to start."},
        {"health", OPTION_OBJECT, 0, .table = &health_table, .help = "When a replica is ready."},
        WHOLE("start_grace_s", start_grace_s, 1, DAY_S, "s", "600",
              "A replica must be ready after this."),
        WHOLE("stop_grace_s", stop_grace_s, 0, DAY_S, "s", "10", "From TERM to KILL."),
        WHOLE("drain_grace_s", drain_grace_s, 0, DAY_S, "s", "600",
              "How long open requests may take before a replica that goes is stopped."),
        WHOLE("failures_max", failures_max, 1, 1000, NULL, "5",
              "Failed starts in a row after which the endpoint is failed."),
        {"scaling", OPTION_OBJECT, AT(scaling), .table = &scaling_table,
         .help = "How many replicas there are."},
        {NULL},
    },
    check_endpoint};

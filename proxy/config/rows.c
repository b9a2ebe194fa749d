#include "proxy/config/rows.h"

#include <openssl/pem.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/wipe.h"
#include "lib/net/address.h"
#include "lib/option/option.h"
#include "proxy/config/config.h"

#define AT(member) offsetof(struct config, member)
#define IN(type, member) offsetof(struct config_##type, member)

enum { DAY_S = 86400 };
#define GIB (1024.0 * 1024 * 1024)

static const struct option_table certificate_table = {
    sizeof(struct config_certificate),
    (const struct option_row[]){
        {"certificate", OPTION_STRING, IN(certificate, certificate), .required = true,
         .help = "PEM file: the leaf first, then its chain."},
        {"key", OPTION_SECRET, IN(certificate, key), .required = true,
         .help = "PEM file of the private key, or env:NAME or file:PATH of its text."},
        {NULL},
    },
    NULL};

static void check_address(struct option_load *l, const struct option_path *at, const char *key,
                          const char *text) {
  struct address a;
  if (address_parse(text, &a) != OK)
    option_error(
        l, at, key,
        "\"%s\" is not an address; allowed is \"127.0.0.1:8080\", \"[::1]:8080\", \"*:8080\" "
        "or \"unix:PATH\"",
        text);
}

static void check_readable(struct option_load *l, const struct option_path *at, const char *key,
                           const char *path) {
  FILE *f = fopen(path, "re");
  X509 *leaf = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
  if (!f)
    option_error(l, at, key, "the certificate %s cannot be read; check path and permissions", path);
  else if (!leaf)
    option_error(l, at, key, "%s holds no PEM certificate", path);
  X509_free(leaf);
  if (f)
    fclose(f);
}

static void check_clients(struct option_load *l, const struct option_path *at,
                          const struct config_listener *c) {
  bool asks = c->client_certificates != CONFIG_CERTIFICATES_OFF;
  bool has_ca = c->client_ca && *c->client_ca;
  if (asks && !c->tls)
    option_error(l, at, "client_certificates", "are shown by TLS only; set \"tls\": true");
  if (asks && !has_ca)
    option_error(l, at, "client_certificates",
                 "needs \"client_ca\", the PEM file of those who issue good ones");
  if (!asks && has_ca)
    option_error(
        l, at, "client_ca",
        "nobody is asked for a certificate; set \"client_certificates\" to \"optional\" or "
        "\"required\", or remove it");
  if (asks && has_ca)
    check_readable(l, at, "client_ca", c->client_ca);
}

static void check_listener(struct option_load *l, const struct option_path *at,
                           struct json_t *given, void *object) {
  struct config_listener *c = object;
  if (c->address)
    check_address(l, at, "address", c->address);
  for (int i = 0; i < c->certificate_count; i++)
    check_readable(l, at, "certificates", c->certificates[i].certificate);
  check_clients(l, at, c);
  for (char **name = c->alpn; name && *name; name++)
    if (strcmp(*name, "h2") != 0 && strcmp(*name, "http/1.1") != 0)
      option_error(l, at, "alpn", "\"%s\" is not spoken here; allowed is \"h2\", \"http/1.1\"",
                   *name);
}

static const char *const tls_versions[] = {"1.2", "1.3", NULL};
static const char *const certificate_words[] = {[CONFIG_CERTIFICATES_OFF] = "off",
                                                [CONFIG_CERTIFICATES_OPTIONAL] = "optional",
                                                [CONFIG_CERTIFICATES_REQUIRED] = "required",
                                                NULL};

static const struct option_table self_signed_table = {
    sizeof(struct config_listener),
    (const struct option_row[]){
        {"directory", OPTION_STRING, IN(listener, self_signed_directory), .standard = "\"run\"",
         .help = "Where ca.pem, cert.pem and their keys are made."},
        {"names", OPTION_STRINGS, IN(listener, self_signed_names), .standard = "[\"localhost\"]",
         .help = "Host names the certificate is for."},
        {NULL},
    },
    NULL};

static const struct option_table listener_table = {
    sizeof(struct config_listener),
    (const struct option_row[]){
        {"address", OPTION_STRING, IN(listener, address), .standard = "\"127.0.0.1:8443\"",
         .help = "Where to listen: \"127.0.0.1:443\", \"[::]:443\", \"*:443\" (both families) or "
                 "\"unix:PATH\"."},
        {"tls", OPTION_BOOL, IN(listener, tls), .standard = "true",
         .help = "Whether TLS is spoken; clear text otherwise."},
        {"certificates", OPTION_OBJECTS, IN(listener, certificates),
         IN(listener, certificate_count), .table = &certificate_table,
         .help = "Chosen by the name the client asks for (SNI); the first is the default."},
        {"self_signed", OPTION_OBJECT, 0, .table = &self_signed_table,
         .help = "Without certificates: a CA and a certificate of our own are made on the first "
                 "start."},
        {"tls_min_version", OPTION_WORD, IN(listener, tls_min), .standard = "\"1.2\"",
         .words = tls_versions, .help = "The oldest TLS version accepted."},
        {"alpn", OPTION_STRINGS, IN(listener, alpn), .standard = "[\"h2\", \"http/1.1\"]",
         .help = "Protocols offered, in order of preference."},
        {"http2", OPTION_BOOL, IN(listener, http2), .standard = "true",
         .help = "Clear text: HTTP/2 by prior knowledge is accepted too."},
        {"mode", OPTION_OCTAL, IN(listener, mode), .standard = "\"0600\"",
         .help = "Mode of a Unix socket's file."},
        {"client_certificates", OPTION_WORD, IN(listener, client_certificates),
         .words = certificate_words, .standard = "\"off\"",
         .help = "TLS: whether clients are asked for a certificate. A bad one ends the handshake; "
                 "with required, so does none. Endpoints say whom they let in."},
        {"client_ca", OPTION_STRING, IN(listener, client_ca), .standard = "\"\"",
         .help = "PEM file of the CAs that issue good ones."},
        {"proxy_protocol", OPTION_BOOL, IN(listener, proxy_protocol), .standard = "false",
         .help = "Each connection begins with a PROXY header (v1 or v2), before TLS: it comes from "
                 "one of trusted_peers or, on a Unix socket, from anybody. Others are closed."},
        {NULL},
    },
    check_listener};

static const struct option_table log_table = {
    sizeof(struct config_log),
    (const struct option_row[]){
        {"access", OPTION_STRING, IN(log, access), .standard = "\"-\"",
         .help = "Access log, JSON lines: a path, \"-\" (standard output) or \"\" (off). Opened "
                 "again at each reload and at SIGUSR1."},
        {NULL},
    },
    NULL};

static void check_admin(struct option_load *l, const struct option_path *at, struct json_t *given,
                        void *object) {
  struct config_admin *c = object;
  struct address a;
  if (c->address && *c->address &&
      (address_parse(c->address, &a) != OK ||
       (strncmp(c->address, "127.", 4) != 0 && strncmp(c->address, "[::1]", 5) != 0 &&
        strncmp(c->address, "localhost:", 10) != 0)))
    option_error(l, at, "address",
                 "\"%s\" is not a loopback address; allowed is \"127.0.0.1:9090\" for example",
                 c->address);
}

static const struct option_table admin_table = {
    sizeof(struct config_admin),
    (const struct option_row[]){
        {"socket", OPTION_STRING, IN(admin, socket), .standard = "\"run/admin.sock\"",
         .reload = OPTION_RESTART, .help = "Unix socket of the operator's commands and /metrics."},
        {"address", OPTION_STRING, IN(admin, address), .standard = "\"\"", .reload = OPTION_RESTART,
         .help = "The same on loopback TCP as well, \"127.0.0.1:9090\" for example; \"\" is off."},
        {NULL},
    },
    check_admin};

#define WHOLE(key_, member, min_, max_, unit_, standard_, help_)                                   \
  {                                                                                                \
    key_, OPTION_INTEGER, AT(member), .min = min_, .max = max_, .unit = unit_,                     \
                                      .standard = standard_, .help = help_                         \
  }
/* Read at the start only. */
#define FIXED(key_, member, min_, max_, unit_, standard_, help_)                                   \
  {                                                                                                \
    key_, OPTION_INTEGER, AT(member), .min = min_, .max = max_, .unit = unit_,                     \
                                      .standard = standard_, .reload = OPTION_RESTART,             \
                                      .help = help_                                                \
  }

static const struct option_table client_table = {
    sizeof(struct config),
    (const struct option_row[]){
        WHOLE(
            "head_timeout_s", head_timeout_s, 1, 3600, "s", "10",
            "A request head must be complete after this: the first from the accept on, with TLS's "
            "handshake; another from its first byte on."),
        WHOLE("idle_timeout_s", idle_timeout_s, 1, DAY_S, "s", "75",
              "A connection without requests is closed after this."),
        WHOLE("body_idle_timeout_s", body_idle_timeout_s, 1, DAY_S, "s", "60",
              "Longest pause between two reads of a request body."),
        WHOLE("body_rate_min_bytes", body_rate_min_bytes, 0, 1e9, "bytes", "240",
              "HTTP/1: least of a request body in a second, on average over body_idle_timeout_s; "
              "only while it is the client that is waited for. 0 is none."),
        WHOLE("write_stall_s", write_stall_s, 1, DAY_S, "s", "30",
              "A client that takes nothing for this long is cut off."),
        WHOLE("head_limit_bytes", head_limit_bytes, 1024, 65536, "bytes", "32768",
              "Largest request head; more is 431, four times as much the end of an HTTP/2 "
              "connection."),
        WHOLE("head_fields_max", head_fields_max, 8, 1000, NULL, "100",
              "Most fields in a request head; more is 431."),
        WHOLE("request_line_limit_bytes", request_line_limit_bytes, 256, 65536, "bytes", "16384",
              "Longest request line; more is 414."),
        WHOLE("http2_streams_max", http2_streams_max, 1, 10000, NULL, "100",
              "Concurrent HTTP/2 streams of a connection."),
        WHOLE("http2_window_bytes", http2_window_bytes, 65535, 16777216, "bytes", "65535",
              "HTTP/2 receive window of a stream, towards replicas too."),
        WHOLE("http2_connection_window_bytes", http2_connection_window_bytes, 65535, 134217728,
              "bytes", "1048576", "HTTP/2 receive window of a connection, towards replicas too."),
        WHOLE("http2_buffer_bytes", http2_buffer_bytes, 65536, 134217728, "bytes", "1048576",
              "Request bodies of an HTTP/2 connection that wait together; a stream beyond it is "
              "refused with 503."),
        WHOLE("http2_resets_burst", http2_resets_burst, 1, 1000000, NULL, "1000",
              "Streams an HTTP/2 client may reset, or make us reset, at once; then it is cut off."),
        WHOLE("http2_resets_per_s", http2_resets_per_s, 1, 1000000, "1/s", "33",
              "How many of them come back a second."),
        WHOLE("http2_control_burst", http2_control_burst, 1, 1000000, NULL, "1000",
              "PING, SETTINGS, PRIORITY, unknown and empty frames at once; then it is cut off."),
        WHOLE("http2_control_per_s", http2_control_per_s, 1, 1000000, "1/s", "100",
              "How many of them come back a second."),
        WHOLE("http2_continuations_max", http2_continuations_max, 0, 1000, NULL, "8",
              "CONTINUATION frames of one head."),
        WHOLE("http2_settings_max", http2_settings_max, 8, 1000, NULL, "32",
              "Entries of one SETTINGS frame."),
        WHOLE("connections_max", connections_max, 1, 10000000, NULL, "100000",
              "Client connections in all; more are closed at once."),
        WHOLE(
            "address_connections_max", address_connections_max, 1, 10000000, NULL, "10000",
            "Connections of one client address (IPv6: /64); more are closed at once. trusted_peers "
            "may have more."),
        WHOLE("auth_failures_burst", auth_failures_burst, 0, 1000000, NULL, "100",
              "Requests without a good token, of one client address (IPv6: /64) and of one bad "
              "token, "
              "answered 401 at once; more are 429. A good token always passes. 0 is no limit."),
        WHOLE("auth_failures_per_s", auth_failures_per_s, 1, 1000000, "1/s", "10",
              "How many of them come back a second."),
        WHOLE("ping_after_s", ping_after_s, 1, 3600, "s", "30",
              "HTTP/2: a client silent for this long, with requests pending, is asked whether it "
              "lives."),
        WHOLE("body_limit_bytes", body_limit_bytes, 0, 1e15, "bytes", "0",
              "Largest request body, unless the endpoint says; 0 is no limit; more is 413."),
        {NULL},
    },
    NULL};

static const struct option_table model_table = {
    sizeof(struct config),
    (const struct option_row[]){
        {"hosts", OPTION_STRINGS, AT(model_hosts), .standard = "[]", .reload = OPTION_RESTART,
         .help = "Exact hosts, in lower case, at which the \"model\" of a JSON body picks the "
                 "endpoint: by its \"models\", or by its name."},
        WHOLE("body_limit_bytes", model_body_limit_bytes, 1024, 1e9, "bytes", "8388608",
              "How much of a body is read to find the model; more is 413."),
        {NULL},
    },
    NULL};

static const struct option_table hold_table = {
    sizeof(struct config),
    (const struct option_row[]){
        WHOLE("max_s", hold_max_s, 1, DAY_S, "s", "3600",
              "A longer X-Scale-Up-Timeout is clamped to this."),
        WHOLE("requests_max", hold_requests_max, 1, 10000000, NULL, "100000",
              "Requests held at once, over all endpoints."),
        WHOLE("bytes_max", hold_bytes_max, 65536, 1e15, "bytes", "1073741824",
              "Memory of held requests, over all endpoints."),
        FIXED("paced_requests_max", paced_requests_max, 0, 10000000, NULL, "10000",
              "Repeats of a 503 kept waiting at once; beyond it they are answered at once."),
        FIXED("pace_window_s", pace_window_s, 1, 3600, "s", "10",
              "A second 503 within this time after the first is kept back."),
        WHOLE("pace_s", pace_s, 1, 60, "s", "1", "How long it is kept back."),
        {NULL},
    },
    NULL};

static const struct option_table replica_table = {
    sizeof(struct config),
    (const struct option_row[]){
        WHOLE("connect_timeout_s", connect_timeout_s, 1, 600, "s", "2", "Connecting to a replica."),
        WHOLE("head_timeout_s", replica_head_timeout_s, 1, DAY_S, "s", "600",
              "Waiting for a replica's response head."),
        WHOLE("idle_s", replica_idle_s, 1, 3600, "s", "4",
              "Idle connections are closed after this; less than the servers' own limit (uvicorn: "
              "5)."),
        WHOLE("idle_max", replica_idle_max, 0, 100000, NULL, "1024",
              "Idle connections kept per replica and worker."),
        WHOLE("replay_bytes", replay_bytes, 0, 1048576, "bytes", "16384",
              "A request body up to this can be sent again when a replica refuses; a larger one "
              "never is."),
        {"retry_unavailable", OPTION_BOOL, AT(retry_unavailable), .standard = "false",
         .help =
             "A replica's 502 or 503 is not passed on while another replica can be asked, once."},
        WHOLE("eject_failures", eject_failures, 0, 1000000, NULL, "5",
              "Failures in a row (no connection, no answer, 5xx) after which a replica is passed "
              "over; never the last one. 0: none is."),
        WHOLE("eject_s", eject_s, 1, DAY_S, "s", "10",
              "After this one request tries it again; any answer below 500 lets it back."),
        WHOLE("pipe_limit_bytes", pipe_limit_bytes, 4096, 16777216, "bytes", "65536",
              "Bytes of a body waiting in the proxy, per request and direction."),
        FIXED("chunk_memory_bytes", chunk_memory_bytes, 1048576, 1e13, "bytes", "1073741824",
              "All such buffers of a worker together."),
        {NULL},
    },
    NULL};

/* A name or an address, with a port. */
static bool has_port(const char *text) {
  const char *colon = strrchr(text, ':');
  long port = colon ? strtol(colon + 1, NULL, 10) : 0;
  return colon && colon != text && port > 0 && port < 65536;
}

static void check_redis(struct option_load *l, const struct option_path *at, struct json_t *given,
                        void *object) {
  struct config_redis *c = object;
  if (strncmp(c->address, "rediss:", 7) == 0)
    option_error(l, at, "address",
                 "TLS to Redis is not spoken; run a local TLS tunnel (stunnel, for example) and "
                 "give its address, \"127.0.0.1:6379\"");
  else if (strncmp(c->address, "unix:", 5) != 0 &&
           (strstr(c->address, "//") || !has_port(c->address)))
    option_error(l, at, "address",
                 "\"%s\" is not an address; allowed is \"127.0.0.1:6379\", \"redis.internal:6379\" "
                 "or \"unix:PATH\"; user, password and database are keys of their own",
                 c->address);
  for (char **s = c->sentinels; s && *s; s++)
    if (!has_port(*s))
      option_error(l, at, "sentinels", "\"%s\" is not an address; allowed is \"10.0.0.5:26379\"",
                   *s);
  if (c->user && *c->user && !(c->password && *c->password))
    option_error(l, at, "user", "a user needs a password; set \"password\" too");
}

#define REDIS(member) IN(redis, member)

static const struct option_table redis_table = {
    sizeof(struct config_redis),
    (const struct option_row[]){
        {"address", OPTION_STRING, REDIS(address), .standard = "\"127.0.0.1:6379\"",
         .reload = OPTION_RESTART,
         .help =
             "Where it is: address or name with port, or \"unix:PATH\". Not used with sentinels."},
        {"user", OPTION_STRING, REDIS(user), .standard = "\"\"", .reload = OPTION_RESTART,
         .help = "ACL user (Redis 6); \"\": the default one."},
        {"password", OPTION_SECRET, REDIS(password), .standard = "\"\"", .reload = OPTION_RESTART,
         .help = "Its password."},
        {"database", OPTION_INTEGER, REDIS(database), .min = 0, .max = 1000000, .standard = "0",
         .reload = OPTION_RESTART, .help = "Number of the database."},
        {"prefix", OPTION_STRING, REDIS(prefix), .standard = "\"headrace:\"",
         .reload = OPTION_RESTART,
         .help = "All keys begin with it. On Redis Cluster it must hold a hash tag, "
                 "\"{headrace}:\", so that one fleet's keys are in one slot."},
        {"timeout_ms", OPTION_INTEGER, REDIS(timeout_ms), .min = 50, .max = 60000, .unit = "ms",
         .standard = "1000", .reload = OPTION_RESTART,
         .help = "A connection on which a command waits longer for its answer is made again."},
        {"sentinels", OPTION_STRINGS, REDIS(sentinels), .standard = "[]", .reload = OPTION_RESTART,
         .help = "Sentinels, \"host:port\": they say where the master is."},
        {"master", OPTION_STRING, REDIS(master), .standard = "\"mymaster\"",
         .reload = OPTION_RESTART, .help = "The master's name at the sentinels."},
        {"sentinel_user", OPTION_STRING, REDIS(sentinel_user), .standard = "\"\"",
         .reload = OPTION_RESTART, .help = "ACL user at the sentinels."},
        {"sentinel_password", OPTION_SECRET, REDIS(sentinel_password), .standard = "\"\"",
         .reload = OPTION_RESTART, .help = "Password at the sentinels."},
        {NULL},
    },
    check_redis};

static void check_store(struct option_load *l, const struct option_path *at, struct json_t *given,
                        void *object) {
  struct config *c = object;
  if (c->lease_ms < 2 * c->refresh_ms)
    option_error(l, at, "lease_ms", "%lld is less than twice refresh_ms (%lld); raise it",
                 (long long)c->lease_ms, (long long)c->refresh_ms);
  if (c->store == CONFIG_STORE_REDIS && c->redis.timeout_ms > c->lease_ms)
    option_error(l, at, "lease_ms",
                 "%lld is less than redis.timeout_ms (%lld): a process would act on what has run "
                 "out; raise it, or lower the timeout",
                 (long long)c->lease_ms, (long long)c->redis.timeout_ms);
}

static const char *const stores[] = {
    [CONFIG_STORE_MEMORY] = "memory", [CONFIG_STORE_REDIS] = "redis", NULL};

static const struct option_table store_table = {
    sizeof(struct config),
    (const struct option_row[]){
        {"kind", OPTION_WORD, AT(store), .words = stores, .standard = "\"memory\"",
         .reload = OPTION_RESTART,
         .help = "memory: inside one process (headrace run); redis: a fleet of proxies and "
                 "schedulers."},
        {"redis", OPTION_OBJECT, AT(redis), .table = &redis_table, .help = "The Redis of a fleet."},
        FIXED("lease_ms", lease_ms, 500, 600000, "ms", "3000",
              "A process that has not been heard of for this long counts as gone."),
        FIXED("refresh_ms", refresh_ms, 50, 60000, "ms", "250",
              "How often load is published, and looked for what has changed."),
        WHOLE(
            "token_stale_max_s", token_stale_max_s, 0, 365 * DAY_S, "s", "0",
            "For how long tokens are believed while the store is away; then 503 until it is back. "
            "0 is no limit."),
        {NULL},
    },
    check_store};

const struct option_row config_rows[CONFIG_ROWS] = {
    FIXED("workers", workers, 0, 256, NULL, "0", "Worker threads; 0 is one a core."),
    WHOLE(
        "drain_s", drain_s, 0, DAY_S, "s", "60",
        "A process that is told to stop lets requests go on for this long, and then aborts them."),
    WHOLE(
        "drain_idle_s", drain_idle_s, 0, 3600, "s", "2",
        "A process that is told to stop closes idle connections after this: a request may be under "
        "way."),
    {"domain", OPTION_STRING, AT(domain), .standard = "\"localhost\"", .reload = OPTION_RESTART,
     .help = "Endpoints answer at <endpoint>.<domain>."},
    {"user", OPTION_STRING, AT(user), .standard = "\"\"", .reload = OPTION_RESTART,
     .help = "Whom a process started by root becomes before it opens anything, keeping only the "
             "right to ports below 1024; \"\": it stays who it is."},
    {"group", OPTION_STRING, AT(group), .standard = "\"\"", .reload = OPTION_RESTART,
     .help = "Its group; \"\": the user's own."},
    {"no_new_privileges", OPTION_BOOL, AT(no_new_privileges), .standard = "true",
     .reload = OPTION_RESTART,
     .help = "Neither the process nor what it starts gains rights by setuid or file capabilities. "
             "Containers started without root (podman's newuidmap) need false."},
    {"core_dumps", OPTION_BOOL, AT(core_dumps), .standard = "false", .reload = OPTION_RESTART,
     .help =
         "Whether a crash may leave a core file, which holds tokens and keys, and a debugger of "
         "the same user may look."},
    {"listeners", OPTION_OBJECTS, AT(listeners), AT(listener_count), .table = &listener_table,
     .help = "Where clients connect."},
    {"log", OPTION_OBJECT, AT(log), .table = &log_table, .help = "Logs."},
    {"admin", OPTION_OBJECT, AT(admin), .table = &admin_table,
     .help = "The operator's door: status, explain, metrics, health."},
    {"token_file", OPTION_STRING, AT(token_file), .standard = "\"run/tokens.json\"",
     .reload = OPTION_RESTART,
     .help =
         "Access tokens of the memory store, as SHA-256 only; changes are noticed within 250 ms."},
    {"trusted_peers", OPTION_STRINGS, AT(trusted_peers), .standard = "[]",
     .help =
         "Address ranges (\"10.0.0.0/8\", \"unix\") whose X-Forwarded-* fields are believed, and "
         "PROXY headers at listeners with proxy_protocol."},
    {"model_routing", OPTION_OBJECT, 0, .table = &model_table,
     .help = "Routing by the model that a body names."},
    {"client", OPTION_OBJECT, 0, .table = &client_table, .help = "Limits of the client side."},
    {"hold", OPTION_OBJECT, 0, .table = &hold_table,
     .help = "Requests that wait for an endpoint to start."},
    {"replica", OPTION_OBJECT, 0, .table = &replica_table,
     .help = "The side of the model servers."},
    {"store", OPTION_OBJECT, 0, .table = &store_table, .help = "Where proxy and scheduler meet."},
};

void config_forget_keys(struct config *c) {
  for (int i = 0; i < c->listener_count; i++)
    for (int k = 0; k < c->listeners[i].certificate_count; k++)
      if (strncmp(c->listeners[i].certificates[k].key, "-----BEGIN", 10) == 0)
        wipe_text(c->listeners[i].certificates[k].key);
}

/* The proxy's own options, loaded. One struct of plain values, filled by the
 * option rows in proxy/config/rows.c; immutable while in use. Endpoints are not
 * here: they reach an edge through the store (lib/fleet/endpoint.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct config_certificate {
  char *certificate; /* PEM file: leaf first, then the chain */
  char *key;         /* PEM file, or env:NAME / file:PATH of PEM text */
};

enum config_client_certificates {
  CONFIG_CERTIFICATES_OFF,
  CONFIG_CERTIFICATES_OPTIONAL,
  CONFIG_CERTIFICATES_REQUIRED,
};

struct config_listener {
  char *address; /* "127.0.0.1:8443", "[::]:443", "*:80" (both families) or "unix:PATH" */
  bool tls;
  struct config_certificate *certificates; /* chosen by SNI; the first is the default */
  int certificate_count;
  char *self_signed_directory; /* when no certificate is given: a CA (ca.pem) and a certificate are
                                  made here */
  char **self_signed_names;    /* their host names */
  int tls_min;                 /* 0: TLS 1.2, 1: TLS 1.3 */
  char **alpn;                 /* "h2", "http/1.1"; what is offered, in order of preference */
  bool http2;                  /* cleartext: accept HTTP/2 by prior knowledge */
  int64_t mode;                /* Unix sockets: file mode, 0600 */
  int client_certificates;     /* enum config_client_certificates: whether clients show one */
  char *client_ca;             /* PEM file: who issues good ones */
  bool proxy_protocol;         /* trusted peers begin with a PROXY header, others may not come */
};

struct config_log {
  char *access; /* path, "-" (standard output) or "" (off) */
};

struct config_admin {
  char *socket;  /* Unix socket path */
  char *address; /* optionally also loopback TCP, "" off */
};

enum config_store { CONFIG_STORE_MEMORY, CONFIG_STORE_REDIS };

struct config_redis {
  char *address; /* "127.0.0.1:6379", a name and port, or "unix:PATH" */
  char *user, *password;
  int64_t database;
  char *prefix; /* of all keys */
  int64_t timeout_ms;
  char **sentinels; /* "host:port"; then the address is asked of them */
  char *master;     /* its name there */
  char *sentinel_user, *sentinel_password;
};

/* Once they are in use: private keys that are here as text are zeroed. */
struct config;
void config_forget_keys(struct config *c);

struct config {
  int64_t workers;               /* 0: one a core */
  char *domain;                  /* endpoints answer at <endpoint>.<domain> */
  int64_t drain_s, drain_idle_s; /* 60, 2: of a process that stops, and of its idle connections */
  struct config_listener *listeners;
  int listener_count;
  char *user, *group; /* whom the process becomes; empty: it stays who it is */
  bool no_new_privileges, core_dumps;
  struct config_log log;
  struct config_admin admin;
  char *token_file;
  char **trusted_peers; /* address ranges whose X-Forwarded-* and PROXY headers are believed */

  char **model_hosts;             /* where the body's model picks the endpoint */
  int64_t model_body_limit_bytes; /* how much of the body is read for that */

  /* client side */
  int64_t head_timeout_s;      /* 10: a request head complete, from accept or from its first byte */
  int64_t idle_timeout_s;      /* 75: keep-alive */
  int64_t body_idle_timeout_s; /* 60: between two reads of a request body */
  int64_t body_rate_min_bytes; /* 240: a second, over body_idle_timeout_s; 0: none */
  int64_t write_stall_s;       /* 30: a client that takes nothing */
  int64_t head_limit_bytes;    /* 32 KiB */
  int64_t head_fields_max;     /* 100 */
  int64_t request_line_limit_bytes;                 /* 16 KiB */
  int64_t http2_streams_max;                        /* 100 a connection */
  int64_t http2_window_bytes;                       /* 64 KiB a stream */
  int64_t http2_connection_window_bytes;            /* 1 MiB */
  int64_t http2_buffer_bytes;                       /* 1 MiB: what waits of a connection's bodies */
  int64_t http2_resets_burst, http2_resets_per_s;   /* 1000, 33 */
  int64_t http2_control_burst, http2_control_per_s; /* 1000, 100 */
  int64_t http2_continuations_max;                  /* 8 a head */
  int64_t http2_settings_max;                       /* 32 a frame */
  int64_t connections_max;                          /* clients in all, a process */
  int64_t address_connections_max;                  /* of one client network */
  int64_t auth_failures_burst, auth_failures_per_s; /* 100, 10: of an address, of a token */
  int64_t ping_after_s;                             /* 30: HTTP/2 silence with requests pending */
  int64_t body_limit_bytes;                         /* 0: none, unless the endpoint says */

  /* hold */
  int64_t hold_max_s;        /* 3600: a longer X-Scale-Up-Timeout is clamped */
  int64_t hold_requests_max; /* in all, a process */
  int64_t hold_bytes_max;
  int64_t paced_requests_max;    /* 10000: repeats of a 503 that wait pace_s */
  int64_t pace_window_s, pace_s; /* 10, 1 */

  /* replica side */
  int64_t connect_timeout_s;       /* 2 */
  int64_t replica_head_timeout_s;  /* 600 */
  int64_t replica_idle_s;          /* 4 */
  int64_t eject_failures, eject_s; /* 5 in a row, 10; 0: nothing is ejected */
  bool retry_unavailable;          /* a replica's 502 or 503: once more, at another one */
  int64_t replica_idle_max;        /* idle connections kept per replica and worker */
  int64_t replay_bytes;            /* 16 KiB */
  int64_t pipe_limit_bytes;        /* 64 KiB buffered per direction of a request */
  int64_t chunk_memory_bytes;      /* all buffers of a worker together */

  /* store */
  int store; /* enum config_store */
  struct config_redis redis;
  int64_t lease_ms, refresh_ms; /* 3000, 250 */
  int64_t token_stale_max_s;    /* 0: tokens are believed however long the store is away */
};

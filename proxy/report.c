#include "proxy/report.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/descriptors.h"
#include "lib/fleet/load.h"
#include "lib/metrics/exposition.h"
#include "lib/store/store.h"
#include "proxy/edge.h"
#include "proxy/overview.h"
#include "proxy/request/account.h"
#include "proxy/request/outlier.h"
#include "proxy/request/shared.h"
#include "proxy/version.h"
#include "scheduler/scheduler.h"

typedef struct edge_endpoint_view view_t;

static struct account_sum sum_of(const struct edge *e, const view_t *v) {
  struct account_sum sum = {0};
  usec_t now = clock_mono();
  for (int i = 0; i < edge_workers(e); i++)
    account_read(&v->shared->cells[i], now, &sum);
  return sum;
}

static int64_t cells_sum(const struct edge *e, const view_t *v, size_t offset) {
  int64_t n = 0;
  for (int i = 0; i < edge_workers(e); i++)
    n += cell_get((const cell_t *)((const char *)&v->shared->cells[i] + offset));
  return n;
}

static int64_t replica_sum(const struct edge *e, const struct replica_shared *r, size_t offset) {
  int64_t n = 0;
  for (int i = 0; i < edge_workers(e); i++)
    n += cell_get((const cell_t *)((const char *)&r->cells[i] + offset));
  return n;
}

static int64_t active_on(const struct edge *e, const struct replica_shared *r) {
  return replica_sum(e, r, offsetof(struct replica_cell, active));
}

#define CELL(member) offsetof(struct endpoint_cell, member)

/* Families with one number per endpoint. */
static const struct {
  const char *name;
  enum metric_type type;
  const char *help;
  size_t offset;
  double scale;
} endpoint_families[] = {
    {"headrace_pending", METRIC_GAUGE, "Requests without a final status, held ones included.",
     CELL(pending), 1},
    {"headrace_held", METRIC_GAUGE, "Requests waiting for a replica.", CELL(held), 1},
    {"headrace_open", METRIC_GAUGE, "Responses being streamed.", CELL(open), 1},
    {"headrace_pending_request_seconds", METRIC_COUNTER,
     "Integral of pending over time, as of the last change.", CELL(pending_us), 1e-6},
    {"headrace_endpoint_requests", METRIC_COUNTER, "Requests that asked for a replica.",
     CELL(requests_total), 1},
    {"headrace_request_bytes", METRIC_COUNTER, "Request body bytes received.", CELL(request_bytes),
     1},
    {"headrace_response_bytes", METRIC_COUNTER, "Response body bytes received from replicas.",
     CELL(response_bytes), 1},
    {"headrace_replays", METRIC_COUNTER, "Requests sent again after a replica refused.",
     CELL(replays), 1},
    {"headrace_connect_failures", METRIC_COUNTER,
     "Connections to replicas that did not come about.", CELL(connect_failures), 1},
};

static void endpoint_numbers(const struct edge *e, struct exposition *x) {
  for (size_t i = 0; i < sizeof endpoint_families / sizeof *endpoint_families; i++) {
    exposition_family(x, endpoint_families[i].name, endpoint_families[i].type,
                      endpoint_families[i].help);
    view_t v;
    for (size_t at = 0; edge_next(e, &at, &v);) {
      const char *labels[] = {"endpoint", v.shared->name, NULL};
      exposition_value(x, labels,
                       (double)cells_sum(e, &v, endpoint_families[i].offset) *
                           endpoint_families[i].scale);
    }
  }
}

static void statuses(const struct edge *e, struct exposition *x) {
  static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
  exposition_family(x, "headrace_requests", METRIC_COUNTER,
                    "Requests that are over, by class of status.");
  view_t v;
  for (size_t at = 0; edge_next(e, &at, &v);)
    for (int i = 0; i < 6; i++) {
      const char *labels[] = {"endpoint", v.shared->name, "class", classes[i], NULL};
      exposition_value(x, labels,
                       (double)cells_sum(e, &v, CELL(statuses) + (size_t)i * sizeof(cell_t)));
    }
  exposition_family(x, "headrace_endings", METRIC_COUNTER,
                    "Requests that are over, by how they ended.");
  for (size_t at = 0; edge_next(e, &at, &v);)
    for (int i = 0; i < ENDINGS; i++) {
      const char *labels[] = {"endpoint", v.shared->name, "ending", ending_word((enum ending)i),
                              NULL};
      exposition_value(x, labels,
                       (double)cells_sum(e, &v, CELL(endings) + (size_t)i * sizeof(cell_t)));
    }
}

static void latency(const struct edge *e, struct exposition *x, const char *name, const char *help,
                    size_t offset) {
  double bounds[LATENCY_BUCKETS - 1];
  for (int i = 0; i < LATENCY_BUCKETS - 1; i++)
    bounds[i] = (double)latency_bounds_ms[i] / 1000;
  exposition_family(x, name, METRIC_HISTOGRAM, help);
  view_t v;
  for (size_t at = 0; edge_next(e, &at, &v);) {
    const char *labels[] = {"endpoint", v.shared->name, NULL};
    int64_t buckets[LATENCY_BUCKETS];
    for (int i = 0; i < LATENCY_BUCKETS; i++)
      buckets[i] = cells_sum(
          e, &v, offset + offsetof(struct latency_cell, buckets) + (size_t)i * sizeof(cell_t));
    double sum =
        (double)cells_sum(e, &v, offset + offsetof(struct latency_cell, sum_us)) / USEC_PER_S;
    exposition_histogram(x, labels, bounds, LATENCY_BUCKETS - 1, buckets, sum);
  }
}

static void replicas(const struct edge *e, struct exposition *x) {
  exposition_family(x, "headrace_replicas", METRIC_GAUGE, "Replicas by state.");
  view_t v;
  for (size_t at = 0; edge_next(e, &at, &v);)
    for (int state = 0; v.record && state <= REPLICA_FAILED; state++) {
      int n = 0;
      for (int i = 0; i < v.record->replica_count; i++)
        n += (int)v.record->replicas[i].state == state;
      const char *labels[] = {"endpoint", v.shared->name, "state",
                              replica_state_word((enum replica_state)state), NULL};
      exposition_value(x, labels, n);
    }
}

static int64_t requests_to(const struct edge *e, const struct replica_shared *r) {
  return replica_sum(e, r, offsetof(struct replica_cell, requests_total));
}

static int64_t failures_of(const struct edge *e, const struct replica_shared *r) {
  return replica_sum(e, r, offsetof(struct replica_cell, failures_total));
}

static int64_t is_ejected(const struct edge *e, const struct replica_shared *r) {
  return outlier_ejected(r);
}

/* Families with one number per replica. */
static const struct {
  const char *name;
  enum metric_type type;
  const char *help;
  int64_t (*number)(const struct edge *e, const struct replica_shared *r);
} replica_families[] = {
    {"headrace_replica_active", METRIC_GAUGE, "Requests at a replica.", active_on},
    {"headrace_replica_requests", METRIC_COUNTER, "Requests given to a replica.", requests_to},
    {"headrace_replica_failures", METRIC_COUNTER,
     "Requests that a replica did not answer, or not to the end.", failures_of},
    {"headrace_replica_ejected", METRIC_GAUGE,
     "Whether a replica is passed over because it failed.", is_ejected},
};

static void replica_numbers(const struct edge *e, struct exposition *x) {
  for (size_t f = 0; f < sizeof replica_families / sizeof *replica_families; f++) {
    exposition_family(x, replica_families[f].name, replica_families[f].type,
                      replica_families[f].help);
    view_t v;
    for (size_t at = 0; edge_next(e, &at, &v);)
      for (int i = 0; v.record && i < v.record->replica_count; i++) {
        const char *labels[] = {"endpoint", v.shared->name, "replica", v.replicas[i]->id, NULL};
        exposition_value(x, labels, (double)replica_families[f].number(e, v.replicas[i]));
      }
  }
}

#define WCELL(member) offsetof(struct worker_cell, member)

static const struct {
  const char *name;
  enum metric_type type;
  const char *help;
  size_t offset;
} worker_families[] = {
    {"headrace_connections", METRIC_GAUGE, "Client connections.", WCELL(connections)},
    {"headrace_connections_opened", METRIC_COUNTER, "Client connections accepted.",
     WCELL(connections_total)},
    {"headrace_tls_handshakes", METRIC_COUNTER, "TLS handshakes completed.", WCELL(tls_handshakes)},
    {"headrace_tls_failures", METRIC_COUNTER, "TLS connections that failed.", WCELL(tls_failures)},
    {"headrace_client_certificate_failures", METRIC_COUNTER,
     "TLS connections refused for want of a good client certificate.", WCELL(certificate_failures)},
    {"headrace_http1_requests", METRIC_COUNTER, "HTTP/1 requests read.", WCELL(requests_http1)},
    {"headrace_http2_requests", METRIC_COUNTER, "HTTP/2 requests read.", WCELL(requests_http2)},
    {"headrace_bad_requests", METRIC_COUNTER, "Requests that could not be read.",
     WCELL(bad_requests)},
    {"headrace_unauthorized", METRIC_COUNTER, "Requests answered 401.", WCELL(unauthorized)},
    {"headrace_forbidden", METRIC_COUNTER, "Requests answered 403.", WCELL(forbidden)},
    {"headrace_unknown_host", METRIC_COUNTER, "Requests for no endpoint.", WCELL(unknown_host)},
    {"headrace_limited", METRIC_COUNTER, "Requests refused by a limit.", WCELL(limited)},
    {"headrace_paced", METRIC_COUNTER, "Repeated 503s that were kept back.", WCELL(paced)},
    {"headrace_log_lines_dropped", METRIC_COUNTER,
     "Access log lines that were too long, or could not be written.", WCELL(log_lines_dropped)},
    {"headrace_ejections", METRIC_COUNTER, "Times that a replica was ejected.", WCELL(ejections)},
    {"headrace_accept_pauses", METRIC_COUNTER,
     "Times that a listener stopped accepting for want of descriptors.", WCELL(accept_pauses)},
    {"headrace_connections_missed", METRIC_COUNTER,
     "Connections to replicas not tried for want of descriptors, ports or memory.",
     WCELL(connections_missed)},
};

static void worker_numbers(const struct edge *e, struct exposition *x) {
  for (size_t i = 0; i < sizeof worker_families / sizeof *worker_families; i++) {
    int64_t n = 0;
    for (int k = 0; k < edge_workers(e); k++)
      n += cell_get(
          (const cell_t *)((const char *)edge_worker_cell(e, k) + worker_families[i].offset));
    exposition_family(x, worker_families[i].name, worker_families[i].type, worker_families[i].help);
    exposition_value(x, NULL, (double)n);
  }
}

static void limits(const struct edge *e, struct exposition *x) {
  exposition_family(x, "headrace_client_limits", METRIC_COUNTER,
                    "Clients cut off or refused by a limit.");
  for (int l = LIMIT_NONE + 1; l < CLIENT_LIMITS; l++) {
    int64_t n = 0;
    for (int k = 0; k < edge_workers(e); k++)
      n += cell_get(&edge_worker_cell(e, k)->limits[l]);
    const char *labels[] = {"limit", client_limit_word((enum client_limit)l), NULL};
    exposition_value(x, labels, (double)n);
  }
}

static void denied(const struct edge *e, struct exposition *x) {
  exposition_family(x, "headrace_access_denied", METRIC_COUNTER,
                    "Requests refused by a rule of their endpoint.");
  for (int rule = 0; rule < ACCESS_RULES; rule++) {
    int64_t n = 0;
    for (int k = 0; k < edge_workers(e); k++)
      n += cell_get(&edge_worker_cell(e, k)->denied[rule]);
    const char *labels[] = {"rule", access_rule_word((enum access_rule)rule), NULL};
    exposition_value(x, labels, (double)n);
  }
}

static void value(struct exposition *x, const char *name, enum metric_type type, const char *help,
                  double n) {
  exposition_family(x, name, type, help);
  exposition_value(x, NULL, n);
}

static void descriptor_numbers(struct exposition *x) {
  value(x, "headrace_descriptors", METRIC_GAUGE, "Open descriptors of this process.",
        (double)descriptors_open());
  value(x, "headrace_descriptors_limit", METRIC_GAUGE,
        "How many it may have; clients get three quarters of them.", (double)descriptors_limit());
}

static double since_s(const struct store_link *link, bool up) {
  return link->up == up ? (double)(clock_mono() - link->since_us) / USEC_PER_S : 0;
}

static void store_numbers(const struct store *s, struct exposition *x) {
  const struct store_link *link = &s->link;
  value(x, "headrace_store_up", METRIC_GAUGE, "Whether the store can be reached.", link->up);
  value(x, "headrace_store_away_seconds", METRIC_GAUGE, "For how long it cannot; 0 when it can.",
        since_s(link, false));
  value(x, "headrace_store_commands", METRIC_COUNTER, "Commands sent to Redis.",
        (double)link->commands);
  value(x, "headrace_store_connections", METRIC_COUNTER, "Connections made to Redis.",
        (double)link->connections);
  value(x, "headrace_store_proxies", METRIC_GAUGE, "Proxies of the fleet that live.",
        (double)(s->alone ? 1 : link->proxies));
}

static void reload_numbers(const struct report_reloads *n, struct exposition *x) {
  exposition_family(x, "headrace_reloads", METRIC_COUNTER,
                    "Times the configuration was read again, by outcome.");
  exposition_value(x, (const char *[]){"outcome", "taken", NULL}, (double)n->taken);
  exposition_value(x, (const char *[]){"outcome", "refused", NULL}, (double)n->refused);
  value(x, "headrace_config_read_time_seconds", METRIC_GAUGE,
        "When the configuration in force was read.", (double)n->last_us / USEC_PER_S);
}

void report_metrics(const struct report *r, bool openmetrics, struct buf *out) {
  struct exposition x = {.out = out, .openmetrics = openmetrics};
  const struct edge *e = r->edge;
  store_numbers(r->store, &x);
  reload_numbers(r->reloads, &x);
  descriptor_numbers(&x);
  if (r->scheduler)
    value(&x, "headrace_leader", METRIC_GAUGE, "Whether this scheduler leads.",
          scheduler_leads(r->scheduler));
  if (e) {
    value(&x, "headrace_tokens_stale", METRIC_GAUGE, "Whether tokens are believed no more.",
          edge_tokens_stale(e));
    worker_numbers(e, &x);
    limits(e, &x);
    denied(e, &x);
    endpoint_numbers(e, &x);
    statuses(e, &x);
    replicas(e, &x);
    replica_numbers(e, &x);
    latency(e, &x, "headrace_hold_seconds", "How long requests were held.", CELL(hold));
    latency(e, &x, "headrace_first_byte_seconds", "From the request to the response head.",
            CELL(first_byte));
    latency(e, &x, "headrace_request_seconds", "From the request to its end.", CELL(total));
  }
  exposition_end(&x);
}

/* Of one endpoint, in the whole fleet: our own as it is now, the others' as last published. */
struct fleet_sum {
  int64_t pending, held, open, requests_total;
};

static bool is_own(const struct report *r, const struct load_record *l) {
  return r->edge && strcmp(l->proxy, edge_id(r->edge)) == 0;
}

static struct fleet_sum fleet_sum(const struct report *r, const struct overview_endpoint *e,
                                  const view_t *own) {
  struct fleet_sum sum = {0};
  if (own) {
    struct account_sum here = sum_of(r->edge, own);
    sum = (struct fleet_sum){here.pending, here.held, here.open, here.requests_total};
  }
  for (int i = 0; i < e->load_count; i++) {
    const struct load_record *l = e->loads[i];
    if (is_own(r, l))
      continue;
    sum.pending += l->pending;
    sum.held += l->held;
    sum.open += l->open;
    sum.requests_total += l->requests_total;
  }
  return sum;
}

static int64_t fleet_active(const struct report *r, const struct overview_endpoint *e,
                            const view_t *own, const char *replica) {
  int64_t n = 0;
  for (int i = 0; own && own->record && i < own->record->replica_count; i++)
    if (strcmp(own->replicas[i]->id, replica) == 0)
      n += active_on(r->edge, own->replicas[i]);
  for (int i = 0; i < e->load_count; i++)
    for (int k = 0; !is_own(r, e->loads[i]) && k < e->loads[i]->replica_count; k++)
      if (strcmp(e->loads[i]->replicas[k].id, replica) == 0)
        n += e->loads[i]->replicas[k].active;
  return n;
}

static void status_endpoint(const struct report *report, const struct overview_endpoint *e,
                            struct buf *out) {
  const struct endpoint_record *r = e->record;
  view_t view;
  const view_t *own = report->edge && edge_find(report->edge, r->def->name, &view) ? &view : NULL;
  struct fleet_sum sum = fleet_sum(report, e, own);
  buf_printf(out, "{\"name\":\"%s\",\"state\":\"%s\",\"access\":\"%s\",\"reason\":", r->def->name,
             endpoint_state_word(r->state), endpoint_access_word(r->def->access));
  buf_json(out, slice_str(r->reason));
  buf_printf(out,
             ",\"pending\":%lld,\"held\":%lld,\"open\":%lld,\"requests_total\":%lld,"
             "\"cold_start_ms\":%lld,\"replicas\":[",
             (long long)sum.pending, (long long)sum.held, (long long)sum.open,
             (long long)sum.requests_total, (long long)r->cold_start_ms);
  for (int i = 0; i < r->replica_count; i++)
    buf_printf(out, "%s{\"id\":\"%s\",\"address\":\"%s\",\"state\":\"%s\",\"active\":%lld}",
               i ? "," : "", r->replicas[i].id, r->replicas[i].address,
               replica_state_word(r->replicas[i].state),
               (long long)fleet_active(report, e, own, r->replicas[i].id));
  buf_str(out, "]}");
}

static void status_store(const struct store *s, struct buf *out) {
  const struct store_link *link = &s->link;
  buf_printf(out, "\"store\":{\"kind\":\"%s\",\"up\":%s,\"for_s\":%.1f,\"why\":",
             s->alone ? "memory" : "redis", link->up ? "true" : "false", since_s(link, link->up));
  buf_json(out, slice_str(link->up ? "" : link->why));
  buf_str(out, "}");
}

void report_status(const struct report *r, const struct overview *o, struct buf *out) {
  buf_printf(out, "{\"version\":\"%s\",\"uptime_s\":%lld,", HEADRACE_VERSION,
             (long long)((clock_mono() - r->began_us) / USEC_PER_S));
  if (r->edge)
    buf_printf(out, "\"proxy\":\"%s\",\"workers\":%d,", edge_id(r->edge), edge_workers(r->edge));
  if (r->scheduler)
    buf_printf(out, "\"leads\":%s,", scheduler_leads(r->scheduler) ? "true" : "false");
  status_store(r->store, out);
  buf_str(out, ",\"proxies\":[");
  for (int i = 0; i < o->proxy_count; i++) {
    buf_str(out, i ? "," : "");
    buf_json(out, slice_str(o->proxies[i]));
  }
  buf_str(out, "],\"endpoints\":[");
  bool first = true;
  const struct overview_endpoint *e;
  for (size_t at = 0; (e = map_next(&o->endpoints, &at)); first = false) {
    buf_str(out, first ? "" : ",");
    status_endpoint(r, e, out);
  }
  buf_str(out, "]}\n");
}

void report_ready(const struct report *r, struct buf *out) {
  const struct store_link *link = &r->store->link;
  buf_str(out, "ready\n");
  if (!link->up)
    buf_printf(out, "the store has been away for %.1f s: %s\n", since_s(link, false), link->why);
}

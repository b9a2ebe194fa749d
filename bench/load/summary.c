#include "bench/load/summary.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/load/load.h"
#include "bench/load/options.h"
#include "lib/base/buf.h"

static const double US_PER_MS = 1e3;

static const struct {
  const char *name;
  double share;
} quantiles[] = {{"p50", .5}, {"p90", .9}, {"p99", .99}, {"p999", .999}};

enum { QUANTILES = sizeof quantiles / sizeof *quantiles };

static double per_second(const struct load *l, uint64_t count) {
  double seconds = load_seconds(l);
  return seconds > 0 ? (double)count / seconds : 0;
}

static const char *versions(const struct load *l) {
  return l->spoke[1] && l->spoke[2] ? "1+2" : l->spoke[2] ? "2" : l->spoke[1] ? "1" : "";
}

void summary_progress(const struct load *l) {
  static uint64_t before; /* requests at the last line */
  struct tally *t = load_total(l);
  if (!t)
    return;
  bool terminal = isatty(STDERR_FILENO);
  fprintf(stderr,
          "%s%s%.0f s: %lu requests (%lu/s), %lu open, %lu errors, first token p50 %.1f ms%s",
          terminal ? "\r" : "", l->warm ? "" : "warming up, ", load_seconds(l),
          (unsigned long)t->done, (unsigned long)(t->done < before ? 0 : t->done - before),
          (unsigned long)(t->started - tally_ended(t)), (unsigned long)tally_errors(t),
          histogram_quantile(&t->first_token, .5) / US_PER_MS, terminal ? "\033[K" : "\n");
  before = t->done;
  free(t);
}

/* ---- JSON ---- */

static void json_histogram(struct buf *out, const char *name, const struct histogram *h) {
  buf_printf(out, ",\"%s\":{\"count\":%lu,\"mean\":%.4f", name, (unsigned long)h->count,
             histogram_mean(h) / US_PER_MS);
  for (int i = 0; i < QUANTILES; i++)
    buf_printf(out, ",\"%s\":%.4f", quantiles[i].name,
               histogram_quantile(h, quantiles[i].share) / US_PER_MS);
  buf_printf(out, ",\"max\":%.4f}", (double)h->max / US_PER_MS);
}

static void json_statuses(struct buf *out, const struct tally *t) {
  const char *comma = "";
  buf_str(out, ",\"statuses\":{");
  for (int i = 0; i < TALLY_STATUSES; i++)
    if (t->statuses[i]) {
      buf_printf(out, "%s\"%d\":%lu", comma, i, (unsigned long)t->statuses[i]);
      comma = ",";
    }
  buf_str(out, "}");
}

static void json_counts(const struct load *l, const struct tally *t, struct buf *out) {
  buf_printf(out,
             "\"requests\":{\"started\":%lu,\"done\":%lu,\"ok\":%lu,\"aborted\":%lu},\"errors\":{",
             (unsigned long)t->started, (unsigned long)t->done, (unsigned long)t->ok,
             (unsigned long)t->aborted);
  for (int i = 0; i < TALLY_ERRORS; i++)
    buf_printf(out, "%s\"%s\":%lu", i ? "," : "", tally_error_names[i],
               (unsigned long)t->errors[i]);
  buf_str(out, "}");
  json_statuses(out, t);
  buf_printf(out, ",\"rate_per_s\":%.3f", per_second(l, t->done));
}

static void json_measures(const struct load *l, const struct tally *t, struct buf *out) {
  buf_printf(out,
             ",\"events\":%lu,\"tokens\":%lu,\"tokens_per_s\":%.3f,\"events_lost\":%lu,"
             "\"events_doubled\":%lu",
             (unsigned long)t->events, (unsigned long)t->tokens, per_second(l, t->tokens),
             (unsigned long)t->events_lost, (unsigned long)t->events_doubled);
}

static void json_histograms(const struct tally *t, struct buf *out) {
  json_histogram(out, "latency_ms", &t->latency);
  json_histogram(out, "first_token_ms", &t->first_token);
  json_histogram(out, "between_tokens_ms", &t->between_tokens);
  json_histogram(out, "event_age_ms", &t->event_age);
}

static void json_kinds(const struct load *l, struct buf *out) {
  const char *comma = "";
  buf_str(out, ",\"kinds\":{");
  for (int i = 0; i < WORKLOAD_KINDS; i++) {
    const struct tally *t = &l->tallies[i];
    if (!t->started)
      continue;
    buf_printf(out, "%s\"%s\":{", comma, workload_kind_names[i]);
    json_counts(l, t, out);
    json_measures(l, t, out);
    json_histograms(t, out);
    buf_str(out, "}");
    comma = ",";
  }
  buf_str(out, "}");
}

void summary_json(const struct load *l, struct buf *out) {
  struct tally *t = load_total(l);
  if (!t)
    return;
  buf_str(out, "{\"url\":");
  buf_json(out, slice_str(l->options->url));
  buf_printf(out, ",\"http\":\"%s\",\"connections\":%.0f,\"streams\":%.0f,\"duration_s\":%.6f,",
             versions(l), l->options->connections, l->options->streams, load_seconds(l));
  json_counts(l, t, out);
  buf_printf(out, ",\"bytes_in\":%lu,\"bytes_out\":%lu", (unsigned long)l->bytes_in,
             (unsigned long)l->bytes_out);
  json_measures(l, t, out);
  buf_printf(out, ",\"handshakes\":%lu,\"resumed\":%lu", (unsigned long)l->handshakes,
             (unsigned long)l->resumed);
  json_histograms(t, out);
  json_kinds(l, out);
  buf_str(out, "}\n");
  free(t);
}

/* ---- words ---- */

static void text_histogram(struct buf *out, const char *name, const struct histogram *h) {
  if (h->count == 0)
    return;
  buf_printf(out, "  %-16s%10.3f", name, histogram_mean(h) / US_PER_MS);
  for (int i = 0; i < QUANTILES; i++)
    buf_printf(out, "%10.3f", histogram_quantile(h, quantiles[i].share) / US_PER_MS);
  buf_printf(out, "%10.3f\n", (double)h->max / US_PER_MS);
}

static void text_errors(struct buf *out, const struct tally *t) {
  uint64_t errors = tally_errors(t);
  buf_printf(out, "  errors          %lu", (unsigned long)errors);
  const char *before = " (";
  for (int i = 0; i < TALLY_ERRORS; i++)
    if (t->errors[i]) {
      buf_printf(out, "%s%s %lu", before, tally_error_names[i], (unsigned long)t->errors[i]);
      before = ", ";
    }
  buf_str(out, errors ? ")\n" : "\n");
}

static void text_statuses(struct buf *out, const struct tally *t) {
  buf_str(out, "  statuses       ");
  for (int i = 0; i < TALLY_STATUSES; i++)
    if (t->statuses[i])
      buf_printf(out, " %d: %lu", i, (unsigned long)t->statuses[i]);
  buf_str(out, "\n");
}

static void text_tokens(const struct load *l, struct buf *out, const struct tally *t) {
  if (t->tokens)
    buf_printf(out, "  tokens          %lu, %.1f/s\n", (unsigned long)t->tokens,
               per_second(l, t->tokens));
  if (t->events)
    buf_printf(out, "  events          %lu, %.1f/s; lost %lu, doubled %lu\n",
               (unsigned long)t->events, per_second(l, t->events), (unsigned long)t->events_lost,
               (unsigned long)t->events_doubled);
}

static void text_tally(const struct load *l, struct buf *out, const char *name,
                       const struct tally *t) {
  buf_printf(out, "\n%s\n  requests        %lu done, %.1f/s; %lu ok, %lu given up, %lu open\n",
             name, (unsigned long)t->done, per_second(l, t->done), (unsigned long)t->ok,
             (unsigned long)t->aborted, (unsigned long)(t->started - tally_ended(t)));
  text_statuses(out, t);
  text_errors(out, t);
  text_tokens(l, out, t);
  if (t->latency.count + t->first_token.count == 0)
    return;
  buf_printf(out, "  %-16s%10s%10s%10s%10s%10s%10s\n", "milliseconds", "mean", "p50", "p90", "p99",
             "p99.9", "max");
  text_histogram(out, "latency", &t->latency);
  text_histogram(out, "first token", &t->first_token);
  text_histogram(out, "between tokens", &t->between_tokens);
  text_histogram(out, "age of events", &t->event_age);
}

void summary_text(const struct load *l, struct buf *out) {
  struct tally *t = load_total(l);
  int kinds = 0;
  if (!t)
    return;
  buf_printf(out, "%s over HTTP/%s, %.0f connections", l->options->url,
             *versions(l) ? versions(l) : "?", l->options->connections);
  if (l->options->streams > 1)
    buf_printf(out, " of %.0f streams", l->options->streams);
  buf_printf(out, ", %.2f s\n%.2f MB in, %.2f MB out", load_seconds(l), (double)l->bytes_in / 1e6,
             (double)l->bytes_out / 1e6);
  if (l->handshakes)
    buf_printf(out, "; %lu TLS handshakes, %lu of them resumed", (unsigned long)l->handshakes,
               (unsigned long)l->resumed);
  buf_str(out, "\n");
  for (int i = 0; i < WORKLOAD_KINDS; i++)
    kinds += l->tallies[i].started > 0;
  text_tally(l, out, "all", t);
  for (int i = 0; i < WORKLOAD_KINDS && kinds > 1; i++)
    if (l->tallies[i].started)
      text_tally(l, out, workload_kind_names[i], &l->tallies[i]);
  free(t);
}

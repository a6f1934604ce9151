/*
 * The model's speed: reading a prompt in the largest calls that a session takes, and decoding one token after the other, both from
 * `depth` tokens on. Medians over repeats, after a warm-up. Barriers: their share of a decoded token's time, were no thread ever late.
 */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif

#include "lfm_command.h"

#include <stdio.h>
#include <stdlib.h>

#ifndef _WIN32
#include <sys/resource.h>
#endif

enum { LEAST_SAMPLES = 3, MOST_SAMPLES = 9 };
static const double patience_seconds = 4;

typedef struct work {
  int32_t prompt, decode, depth;
} work;

typedef struct speed {
  double prefill_seconds, first_seconds, decode_seconds, barrier_seconds;
} speed;

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *samples, int count) {
  qsort(samples, (size_t)count, sizeof samples[0], by_value);
  return count % 2 == 1 ? samples[count / 2] : (samples[count / 2 - 1] + samples[count / 2]) / 2;
}

static void decode(lfm_model *model, int32_t token, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    lfm_evaluate(model, &token, 1);
    token = lfm_next_token(model, 0);
  }
}

static void go_to(lfm_model *model, int32_t depth) { lfm_require(lfm_rewind(model, 0, depth), "bench"); }

/* Whether another sample is wanted. */
static int goes_on(int count, double begin) {
  return count < LEAST_SAMPLES || (count < MOST_SAMPLES && lfm_seconds() - begin < patience_seconds);
}

/* Of one barrier among many in a row; 0 on one thread. */
static double measure_barriers(lfm_model *model) {
  enum { BARRIERS = 2000, SAMPLES = 21 };
  double samples[SAMPLES];
  if (lfm_threads(model) == 1) return 0;
  for (int i = 0; i < SAMPLES; i++) {
    const double start = lfm_seconds();
    lfm_run_barriers(model, BARRIERS);
    samples[i] = (lfm_seconds() - start) / BARRIERS;
  }
  return median(samples, SAMPLES);
}

static speed measure(lfm_model *model, const int32_t *tokens, work asked) {
  double prefills[MOST_SAMPLES], firsts[MOST_SAMPLES], decodes[MOST_SAMPLES];
  const int32_t *question = tokens + asked.depth;
  speed found;
  int count = 0;
  go_to(model, 0);
  lfm_evaluate(model, tokens, asked.depth);
  lfm_evaluate(model, question, asked.prompt);
  for (const double begin = lfm_seconds(); goes_on(count, begin); count++) {
    double start;
    go_to(model, asked.depth);
    start = lfm_seconds();
    lfm_evaluate(model, question, asked.prompt);
    prefills[count] = lfm_seconds() - start;
    (void)lfm_next_token(model, 0);
    firsts[count] = lfm_seconds() - start;
  }
  found.prefill_seconds = median(prefills, count);
  found.first_seconds = median(firsts, count);
  count = 0;
  for (const double begin = lfm_seconds(); goes_on(count, begin); count++) {
    double start;
    go_to(model, asked.depth);
    start = lfm_seconds();
    decode(model, question[0], asked.decode);
    decodes[count] = lfm_seconds() - start;
  }
  found.decode_seconds = median(decodes, count);
  found.barrier_seconds = measure_barriers(model);
  return found;
}

/* Ids of the whole vocabulary, so that the embedding's rows are not in any cache. */
static int32_t *prompt_tokens(int32_t count) {
  int32_t *tokens = lfm_allocate((size_t)count * sizeof tokens[0]);
  for (int32_t i = 0; i < count; i++) tokens[i] = (int32_t)(((uint32_t)i + 1) * 0x9e3779b1u % LFM_VOCABULARY);
  return tokens;
}

/* Of the process until now; 0 where the system does not tell. */
static double peak_bytes(void) {
#ifdef _WIN32
  return 0;
#else
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  return (double)usage.ru_maxrss;
#else
  return (double)usage.ru_maxrss * 1024;
#endif
#endif
}

static const char *compiler(void) {
#if defined(__clang__)
  return "C, clang " __clang_version__;
#elif defined(__GNUC__)
  return "C, gcc " __VERSION__;
#else
  return "C";
#endif
}

static void print_speed(const lfm_model *model, work asked, speed found, int json, int first) {
  const double prefill = asked.prompt / found.prefill_seconds, decoded = asked.decode / found.decode_seconds;
  if (json) {
    printf("%s\n  {\"threads\":%d,\"variant\":\"%s\",\"depth\":%d,\"prefillTokensPerSecond\":%.9g,\"decodeTokensPerSecond\":%.9g,",
           first ? "[" : ",", (int)lfm_threads(model), lfm_variant(model), (int)asked.depth, prefill, decoded);
    printf("\"firstTokenSeconds\":%.9g,\"peakBytes\":%.0f,\"barriersPerToken\":%d,\"barrierSeconds\":%.9g,\"engine\":\"%s\"}",
           found.first_seconds, peak_bytes(), (int)lfm_barriers(model), found.barrier_seconds, compiler());
  } else {
    if (first) printf("%s\nthreads  variant       depth  prefill tok/s  decode tok/s  first token s  peak MB  barriers\n", compiler());
    printf("%7d  %-12s %6d  %13.1f  %12.1f  %13.3f  %7.0f  %6.2f %%\n", (int)lfm_threads(model), lfm_variant(model), (int)asked.depth,
           prefill, decoded, found.first_seconds, peak_bytes() / 1e6, 100 * lfm_barriers(model) * found.barrier_seconds * decoded);
  }
  fflush(stdout);
}

void lfm_bench(int argc, char **argv) {
  const char *prompt = "512", *decoded = "64", *depth = "0", *threads = "1", *variant = NULL, *weights = NULL, *json = NULL;
  const lfm_flag flags[] = {{"--prompt", &prompt, 0},   {"--decode", &decoded, 0},  {"--depth", &depth, 0}, {"--threads", &threads, 0},
                            {"--variant", &variant, 0}, {"--weights", &weights, 0}, {"--json", &json, 1}};
  lfm_list depths, counts;
  int32_t *tokens;
  work asked;
  lfm_parse_flags(argc, argv, flags, sizeof flags / sizeof flags[0]);
  asked.prompt = lfm_parse_number("--prompt", prompt, 1);
  asked.decode = lfm_parse_number("--decode", decoded, 1);
  depths = lfm_parse_list("--depth", depth, 0);
  counts = lfm_parse_list("--threads", threads, 1);
  for (int32_t i = 0; i < depths.count; i++) {
    const int64_t positions = (int64_t)depths.values[i] + (asked.prompt > asked.decode ? asked.prompt : asked.decode);
    if (positions > LFM_CONTEXT)
      lfm_fail(1, "bench: needs %lld positions, the model has %d: lower --prompt, --decode or --depth", (long long)positions, LFM_CONTEXT);
  }
  tokens = prompt_tokens(LFM_CONTEXT);
  for (int32_t t = 0; t < counts.count; t++) {
    lfm_opened opened = lfm_open(argv[0], weights, counts.values[t], variant);
    for (int32_t d = 0; d < depths.count; d++) {
      asked.depth = depths.values[d];
      print_speed(opened.model, asked, measure(opened.model, tokens, asked), json != NULL, t + d == 0);
    }
    lfm_close(&opened);
  }
  if (json != NULL) puts("\n]");
  free(tokens);
  free(depths.values);
  free(counts.values);
}

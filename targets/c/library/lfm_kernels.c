/*
 * Times the steps of a forward pass. Whole passes run, each step of them is timed alone: so every kernel finds the caches as the pass
 * leaves them. Prints the steps in order as JSON, with their least and their median seconds.
 */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "lfm_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <time.h>
#endif

/* What all bytes are: as f16 and f32 a small normal number, which no instruction is slow to compute with. */
enum { FILL = 0x3c };

/* Passes before the first that counts. */
enum { WARM_PASSES = 2 };

typedef struct row {
  int32_t token, slot, position, wants_logits;
} row;

/* Passes to time: at least and at most so many, and none is begun after so many seconds. */
typedef struct patience {
  int32_t least, most;
  double seconds;
} patience;

static void fail(const char *fact) {
  fprintf(stderr, "error: %s\n", fact);
  exit(1);
}

static double seconds(void) {
#ifdef _WIN32
  LARGE_INTEGER ticks, frequency;
  QueryPerformanceCounter(&ticks);
  QueryPerformanceFrequency(&frequency);
  return (double)ticks.QuadPart / (double)frequency.QuadPart;
#else
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
#endif
}

/* So many bytes on a cache line, all of them touched; never freed. */
static unsigned char *filled(size_t bytes) {
  unsigned char *memory = malloc(bytes + 63);
  if (memory == NULL) fail("the memory cannot be had");
  memory += (64 - (uintptr_t)memory % 64) % 64;
  memset(memory, FILL, bytes);
  return memory;
}

/* Rows of slot 0 that end at `position`; the last ones want logits. */
static void write_rows(unsigned char *at, int32_t rows, int32_t logits, int32_t position) {
  for (int32_t i = 0; i < rows; i++) {
    const row one = {i, 0, position - rows + 1 + i, i >= rows - logits};
    memcpy(at + (size_t)i * sizeof one, &one, sizeof one);
  }
}

/* Seconds of each step, into `times`. */
static void run_pass(const lfm_call *call, double *times) {
  lfm_enter();
  for (size_t i = 0; i < lfm_step_count; i++) {
    const double begin = seconds();
    lfm_steps[i].run(call);
    times[i] = seconds() - begin;
  }
  lfm_leave();
}

/* Runs the passes; `times` has room for the most of them. Returns how many there were. */
static int32_t run_passes(const lfm_call *call, patience asked, double *times) {
  int32_t count = 0;
  double begin;
  for (int i = 0; i < WARM_PASSES; i++) run_pass(call, times);
  begin = seconds();
  while (count < asked.least || (count < asked.most && seconds() - begin < asked.seconds))
    run_pass(call, times + (size_t)count++ * lfm_step_count);
  return count;
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void print_steps(const double *times, int32_t count) {
  double *samples = malloc((size_t)count * sizeof samples[0]);
  if (samples == NULL) fail("the memory cannot be had");
  for (size_t step = 0; step < lfm_step_count; step++) {
    double median;
    for (int32_t i = 0; i < count; i++) samples[i] = times[(size_t)i * lfm_step_count + step];
    qsort(samples, (size_t)count, sizeof samples[0], by_value);
    median = count % 2 == 1 ? samples[count / 2] : (samples[count / 2 - 1] + samples[count / 2]) / 2;
    printf("%s\n  {\"kernel\":\"%s\",\"label\":\"%s\",\"least\":%.9g,\"median\":%.9g}", step == 0 ? "[" : ",", lfm_steps[step].kernel,
           lfm_steps[step].label, samples[0], median);
  }
  puts("\n]");
  free(samples);
}

/* A whole number of at least `least`. */
static int32_t number(const char *text, long least) {
  char *end;
  const long value = strtol(text, &end, 10);
  if (*end != '\0' || end == text || value < least || value > INT32_MAX) fail("an argument is no such number");
  return (int32_t)value;
}

int main(int argc, char **argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: %s ROWS LOGITS POSITION LEAST-PASSES MOST-PASSES SECONDS\n", argv[0]);
    return 2;
  }
  const int32_t rows = number(argv[1], 0), logits = number(argv[2], 0), position = number(argv[3], 0);
  const patience asked = {number(argv[4], 1), number(argv[5], 1), atof(argv[6])};
  const int32_t most = asked.most > asked.least ? asked.most : asked.least;
  const lfm_call call = {filled(lfm_memory_bytes), filled(lfm_weight_bytes), filled(lfm_scratch_bytes), rows, logits, 0, 1};
  double *times = malloc((size_t)most * lfm_step_count * sizeof times[0]);
  if (times == NULL) fail("the memory cannot be had");
  write_rows(call.memory + lfm_rows_offset, rows, logits, position);
  print_steps(times, run_passes(&call, asked, times));
  free(times);
  return 0;
}

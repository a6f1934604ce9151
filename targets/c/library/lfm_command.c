/* What the commands share. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "lfm_command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <time.h>
#include <unistd.h>
#endif

static const char blank[] = " \t\r\n";

static const char usage[] =
    "usage:\n"
    "  @name@ forward --tokens FILE.json [--chunk N] [--threads N] [--variant NAME] [--weights PATH] -o OUT.safetensors\n"
    "  @name@ run --tokens 1,2,3 [--max-tokens 128] [--ignore-eos] [--decode greedy|jacobi|lookup] [--window 8]\n"
    "    [--threads N] [--variant NAME] [--weights PATH] [--json]\n"
    "  @name@ bench [--prompt 512] [--decode 64] [--depth 0] [--threads 1,2] [--variant NAME] [--weights PATH] [--json]\n";

void lfm_fail(int status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("error: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  if (status == 2) fputs(usage, stderr);
  exit(status);
}

void lfm_print_usage(void) { fputs(usage, stdout); }

void lfm_require(lfm_status status, const char *subject) {
  if (status != LFM_OK) lfm_fail(1, "%s: %s", subject, lfm_status_text(status));
}

void *lfm_allocate(size_t bytes) {
  void *memory = malloc(bytes);
  if (memory == NULL) lfm_fail(1, "memory: %lu bytes cannot be had", (unsigned long)bytes);
  return memory;
}

void lfm_parse_flags(int argc, char **argv, const lfm_flag *flags, size_t count) {
  for (int i = 2; i < argc; i++) {
    const lfm_flag *found = NULL;
    for (size_t f = 0; f < count && found == NULL; f++)
      if (strcmp(argv[i], flags[f].name) == 0) found = &flags[f];
    if (found == NULL) lfm_fail(2, "%s: is no flag of %s", argv[i], argv[1]);
    if (!found->is_switch && i + 1 == argc) lfm_fail(2, "%s: has no value", argv[i]);
    *found->value = found->is_switch ? "" : argv[++i];
  }
}

/* Reads numbers up to `end`, after which there is only blank space; returns how many, or -1. */
static int32_t parse_numbers(const char *text, char end, int32_t *numbers) {
  for (int32_t count = 0;;) {
    int64_t value = 0;
    text += strspn(text, blank);
    if (*text < '0' || *text > '9') return -1;
    for (; *text >= '0' && *text <= '9'; text++)
      if (value < INT32_MAX) value = value * 10 + (*text - '0');
    numbers[count++] = value < INT32_MAX ? (int32_t)value : INT32_MAX;
    text += strspn(text, blank);
    if (*text == end) {
      if (end != '\0') text += 1 + strspn(text + 1, blank);
      return *text == '\0' ? count : -1;
    }
    if (*text++ != ',') return -1;
  }
}

lfm_list lfm_parse_list(const char *flag, const char *text, int32_t least) {
  lfm_list list;
  list.values = lfm_allocate((strlen(text) + 1) * sizeof list.values[0]);
  list.count = parse_numbers(text, '\0', list.values);
  if (list.count < 1) lfm_fail(2, "%s: expected whole numbers separated by commas, not \"%s\"", flag, text);
  for (int32_t i = 0; i < list.count; i++)
    if (list.values[i] < least) lfm_fail(2, "%s: expected whole numbers of at least %d", flag, (int)least);
  return list;
}

int32_t lfm_parse_number(const char *flag, const char *text, int32_t least) {
  const lfm_list list = lfm_parse_list(flag, text, least);
  const int32_t value = list.values[0];
  if (list.count != 1) lfm_fail(2, "%s: expected one whole number, not \"%s\"", flag, text);
  free(list.values);
  return value;
}

lfm_list lfm_read_tokens(const char *path) {
  FILE *stream = fopen(path, "rb");
  char *text = NULL;
  const char *begin;
  size_t length = 0, capacity = 0;
  lfm_list tokens;
  if (stream == NULL) lfm_fail(1, "%s: cannot be read", path);
  do {
    capacity = capacity * 2 + 65536;
    text = realloc(text, capacity);
    if (text == NULL) lfm_fail(1, "%s: is too large", path);
    length += fread(text + length, 1, capacity - length - 1, stream);
  } while (length == capacity - 1);
  if (ferror(stream)) lfm_fail(1, "%s: cannot be read", path);
  fclose(stream);
  text[length] = '\0';
  begin = text + strspn(text, blank);
  tokens.values = lfm_allocate((length + 1) * sizeof tokens.values[0]);
  tokens.count = *begin == '[' && strlen(text) == length ? parse_numbers(begin + 1, ']', tokens.values) : -1;
  if (tokens.count < 1) lfm_fail(1, "%s: is not a list of token ids: [1, 2, 3]", path);
  free(text);
  return tokens;
}

#ifdef LFM_LINKED_WEIGHTS

static const char *find_weights(char *path, size_t capacity, const char *executable) {
  (void)path;
  (void)capacity;
  (void)executable;
  return NULL;
}

#else

static int is_file(const char *path) {
  FILE *stream = fopen(path, "rb");
  if (stream != NULL) fclose(stream);
  return stream != NULL;
}

/* Linux tells where the executable is; elsewhere it is as it was called. */
static void find_executable(char *path, size_t capacity, const char *called) {
#ifdef __linux__
  const ssize_t length = readlink("/proc/self/exe", path, capacity - 1);
  if (length > 0) {
    path[length] = '\0';
    return;
  }
#endif
  snprintf(path, capacity, "%s", called);
}

static const char *find_weights(char *path, size_t capacity, const char *executable) {
  static const char *const places[] = {"weights.bin", "../weights.bin", "../share/@name@/weights.bin"};
  size_t folder = 0;
  find_executable(path, capacity, executable);
  for (size_t i = 0; path[i] != '\0'; i++)
    if (path[i] == '/' || path[i] == '\\') folder = i + 1;
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    snprintf(path + folder, capacity - folder, "%s", places[i]);
    if (is_file(path)) return path;
  }
  return places[0];
}

#endif

lfm_opened lfm_open(const char *executable, const char *weights, int32_t threads, const char *variant) {
  lfm_opened opened;
  lfm_status status;
  char path[4096];
  if (weights == NULL) weights = find_weights(path, sizeof path, executable);
  opened.arena_bytes = lfm_arena_bytes(threads);
  if (opened.arena_bytes == 0) lfm_fail(2, "--threads: expected 1 to %d", LFM_MOST_THREADS);
  opened.arena = lfm_allocate(opened.arena_bytes);
  status = lfm_create(&opened.model, opened.arena, opened.arena_bytes, weights, threads, variant);
  switch (status) {
    case LFM_ERROR_VARIANT: lfm_fail(1, "--variant: %s", lfm_status_text(status));
    case LFM_ERROR_THREADS: lfm_fail(1, "--threads: %s", lfm_status_text(status));
    case LFM_ERROR_WEIGHTS_MISSING:
    case LFM_ERROR_WEIGHTS_SIZE:
    case LFM_ERROR_WEIGHTS_FOREIGN: lfm_require(status, weights == NULL ? "@name@" : weights); break;
    default: lfm_require(status, "@name@");
  }
  return opened;
}

void lfm_close(lfm_opened *opened) {
  lfm_destroy(opened->model);
  free(opened->arena);
}

int32_t lfm_evaluate(lfm_model *model, const int32_t *tokens, int32_t count) {
  lfm_row rows[LFM_CHUNK];
  int32_t calls = 0;
  for (int32_t done = 0; done < count; calls++) {
    const int32_t position = lfm_length(model, 0), room = lfm_room(model, 0);
    const int32_t part = count - done < room ? count - done : room;
    if (room == 0) lfm_require(LFM_ERROR_CONTEXT, "tokens");
    for (int32_t i = 0; i < part; i++) {
      const lfm_row row = {tokens[done + i], 0, position + i, done + i + 1 == count};
      rows[i] = row;
    }
    lfm_require(lfm_forward(model, rows, part), "tokens");
    done += part;
  }
  return calls;
}

int32_t lfm_next_token(const lfm_model *model, int32_t index) {
  const int32_t token = lfm_likeliest(model, index);
  if (token < 0) lfm_fail(1, "logits: none of them is a finite number");
  return token;
}

double lfm_seconds(void) {
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

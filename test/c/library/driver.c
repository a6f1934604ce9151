/*
 * The library under test as a C program uses it. `driver CASE …` runs one case; what does not hold is told with its line, and the exit
 * status is 1. Cases that take `threads` do the same with any number of them.
 */
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lfm.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
      exit(1); \
    } \
  } while (0)

static uint32_t random_state = 12345;

static int32_t random_below(int32_t limit) {
  random_state = random_state * 1664525u + 1013904223u;
  return (int32_t)((uint64_t)random_state * (uint32_t)limit >> 32);
}

/* A model in an arena of exactly the bytes it asks for, away from any alignment. */
typedef struct holder {
  lfm_model *model;
  unsigned char *memory;
} holder;

static holder hold(const char *weights, int32_t threads) {
  const size_t bytes = lfm_arena_bytes(threads);
  holder held;
  held.memory = malloc(bytes + 1);
  CHECK(held.memory != NULL);
  CHECK(lfm_create(&held.model, held.memory + 1, bytes, weights, threads, NULL) == LFM_OK);
  return held;
}

static void let_go(holder held) {
  lfm_destroy(held.model);
  free(held.memory);
}

static void check_likeliest(const lfm_model *model, int32_t index) {
  const float *logits = lfm_logits(model, index);
  const int32_t token = lfm_likeliest(model, index);
  CHECK(token >= 0 && token < LFM_VOCABULARY);
  for (int32_t i = 0; i < LFM_VOCABULARY; i++) CHECK(logits[token] > logits[i] || (logits[token] == logits[i] && token <= i));
}

/* Appends tokens in calls of random length; `logits` keeps those after each token, by position. */
static void append(lfm_model *model, int32_t slot, const int32_t *tokens, int32_t count, float (*logits)[LFM_VOCABULARY]) {
  for (int32_t done = 0; done < count;) {
    lfm_row rows[LFM_CHUNK];
    const int32_t length = lfm_length(model, slot);
    int32_t part = 1 + random_below(lfm_room(model, slot));
    if (part > count - done) part = count - done;
    if (part > LFM_LOGIT_ROWS) part = LFM_LOGIT_ROWS;
    for (int32_t i = 0; i < part; i++) {
      const lfm_row row = {tokens[done + i], slot, length + i, 1};
      rows[i] = row;
    }
    CHECK(lfm_forward(model, rows, part) == LFM_OK);
    for (int32_t i = 0; i < part && logits != NULL; i++) memcpy(logits[length + i], lfm_logits(model, i), sizeof logits[0]);
    for (int32_t i = 0; i < part; i++) check_likeliest(model, i);
    CHECK(lfm_logits(model, part) == NULL && lfm_likeliest(model, part) == -1 && lfm_likeliest(model, -1) == -1);
    done += part;
  }
}

static float found[LFM_CONTEXT][LFM_VOCABULARY], expected[LFM_CONTEXT][LFM_VOCABULARY];

static void random_tokens(int32_t *tokens, int32_t count) {
  for (int32_t i = 0; i < count; i++) tokens[i] = random_below(LFM_VOCABULARY);
}

static void create_case(const char *weights, const char *threads, const char *unused) {
  (void)unused;
  for (int i = 0; i < 100; i++) {
    const holder held = hold(weights, atoi(threads));
    CHECK(strcmp(lfm_variant(held.model), "scalar") == 0 && lfm_threads(held.model) == atoi(threads));
    CHECK(((uintptr_t)held.model & 63) == 0);
    if (i % 2 == 1) append(held.model, 0, (const int32_t[]){1, 2, 3}, 3, NULL);
    let_go(held);
  }
  lfm_destroy(NULL);
}

/* `cut` and `foreign` name weights files: of another length, of another model. */
static void refusals_case(const char *weights, const char *cut, const char *foreign) {
  const size_t bytes = lfm_arena_bytes(2);
  unsigned char *arena = malloc(bytes), *file = malloc(65536), *aligned = file + (64 - (uintptr_t)file % 64) % 64;
  FILE *stream = fopen(weights, "rb");
  lfm_model *model = (lfm_model *)arena;
  size_t count;
  CHECK(arena != NULL && stream != NULL);
  count = fread(aligned, 1, 60000, stream);
  fclose(stream);
  CHECK(lfm_arena_bytes(0) == 0 && lfm_arena_bytes(-1) == 0 && lfm_arena_bytes(65) == 0 && lfm_arena_bytes(64) > bytes);
  CHECK(lfm_create(NULL, arena, bytes, weights, 1, NULL) == LFM_ERROR_ARGUMENT);
  CHECK(lfm_create(&model, NULL, bytes, weights, 1, NULL) == LFM_ERROR_ARGUMENT && model == NULL);
  CHECK(lfm_create(&model, arena, bytes, NULL, 1, NULL) == LFM_ERROR_WEIGHTS_MISSING && model == NULL);
  CHECK(lfm_create(&model, arena, bytes - 1, weights, 2, NULL) == LFM_ERROR_ARENA && model == NULL);
  CHECK(lfm_create(&model, arena, 0, weights, 1, NULL) == LFM_ERROR_ARENA);
  CHECK(lfm_create(&model, arena, bytes, weights, 0, NULL) == LFM_ERROR_THREADS);
  CHECK(lfm_create(&model, arena, bytes, weights, 65, NULL) == LFM_ERROR_THREADS);
  CHECK(lfm_create(&model, arena, bytes, weights, 1, "amx") == LFM_ERROR_VARIANT);
  CHECK(lfm_create(&model, arena, bytes, weights, 1, "") == LFM_ERROR_VARIANT);
  CHECK(lfm_create(&model, arena, bytes, "no such file", 1, NULL) == LFM_ERROR_WEIGHTS_MISSING);
  CHECK(lfm_create(&model, arena, bytes, "/", 1, NULL) == LFM_ERROR_WEIGHTS_MISSING);
  CHECK(lfm_create(&model, arena, bytes, cut, 1, NULL) == LFM_ERROR_WEIGHTS_SIZE);
  CHECK(lfm_create(&model, arena, bytes, foreign, 1, NULL) == LFM_ERROR_WEIGHTS_FOREIGN && model == NULL);
  CHECK(lfm_create_from_memory(&model, arena, bytes, NULL, count, 1, NULL) == LFM_ERROR_ARGUMENT);
  CHECK(lfm_create_from_memory(&model, arena, bytes, aligned + 4, count, 1, NULL) == LFM_ERROR_ARGUMENT);
  CHECK(lfm_create_from_memory(&model, arena, bytes, aligned, count - 1, 1, NULL) == LFM_ERROR_WEIGHTS_SIZE && model == NULL);
  aligned[count - 1 - 16]++;
  CHECK(lfm_create_from_memory(&model, arena, bytes, aligned, count, 1, NULL) == LFM_ERROR_WEIGHTS_FOREIGN && model == NULL);
  aligned[count - 1 - 16]--;
  CHECK(lfm_create_from_memory(&model, arena, bytes, aligned, count, 2, "scalar") == LFM_OK && model != NULL);
  lfm_destroy(model);
  CHECK(lfm_reset(NULL, 0) == LFM_ERROR_ARGUMENT && lfm_forward(NULL, NULL, 1) == LFM_ERROR_ARGUMENT);
  CHECK(lfm_run(NULL, 1, 0) == LFM_ERROR_ARGUMENT && lfm_rewind(NULL, 0, 0) == LFM_ERROR_ARGUMENT);
  CHECK(lfm_save(NULL, 0, file, 9) == LFM_ERROR_ARGUMENT && lfm_restore(NULL, 0, file, 9) == LFM_ERROR_ARGUMENT);
  CHECK(lfm_logits(NULL, 0) == NULL && lfm_likeliest(NULL, 0) == -1 && lfm_variant(NULL) == NULL && lfm_threads(NULL) == 0);
  CHECK(lfm_length(NULL, 0) == -1 && lfm_room(NULL, 0) == -1 && lfm_session_bytes(NULL, 0) == 0);
  for (int code = -1; code < 20; code++) CHECK(strlen(lfm_status_text((lfm_status)code)) >= 4);
  free(arena);
  free(file);
}

static lfm_status forward_one(lfm_model *model, int32_t token, int32_t slot, int32_t position) {
  const lfm_row row = {token, slot, position, 1};
  return lfm_forward(model, &row, 1);
}

/* Whatever is refused changes nothing: the logits afterwards are those of a model that never heard of it. */
static void rows_case(const char *weights, const char *unused, const char *unused_too) {
  const holder held = hold(weights, 1);
  lfm_model *model = held.model;
  lfm_row rows[LFM_CHUNK + 1];
  int32_t tokens[LFM_CONTEXT];
  (void)unused;
  (void)unused_too;
  memset(rows, 0, sizeof rows);
  random_tokens(tokens, LFM_CONTEXT);
  append(model, 0, tokens, 2, found);
  CHECK(lfm_forward(model, NULL, 1) == LFM_ERROR_ARGUMENT);
  CHECK(lfm_forward(model, rows, 0) == LFM_ERROR_ROWS && lfm_forward(model, rows, -1) == LFM_ERROR_ROWS);
  CHECK(lfm_forward(model, rows, LFM_CHUNK + 1) == LFM_ERROR_ROWS);
  CHECK(forward_one(model, -1, 0, 2) == LFM_ERROR_TOKEN && forward_one(model, LFM_VOCABULARY, 0, 2) == LFM_ERROR_TOKEN);
  CHECK(forward_one(model, 1, -1, 2) == LFM_ERROR_SLOT && forward_one(model, 1, LFM_SESSIONS, 2) == LFM_ERROR_SLOT);
  CHECK(forward_one(model, 1, 0, 3) == LFM_ERROR_POSITION && forward_one(model, 1, 0, 1) == LFM_ERROR_POSITION);
  CHECK(forward_one(model, 1, 0, -1) == LFM_ERROR_POSITION && forward_one(model, 1, 0, INT32_MIN) == LFM_ERROR_POSITION);
  CHECK(forward_one(model, 1, 0, LFM_CONTEXT) == LFM_ERROR_CONTEXT && forward_one(model, 1, 0, INT32_MAX) == LFM_ERROR_CONTEXT);
  for (int32_t i = 0; i <= LFM_CHUNK; i++) rows[i].position = 2 + i;
  CHECK(lfm_room(model, 0) < LFM_CHUNK && lfm_forward(model, rows, lfm_room(model, 0) + 1) == LFM_ERROR_ROWS);
  rows[1].position = 2;
  CHECK(lfm_forward(model, rows, 2) == LFM_ERROR_POSITION);
  for (int32_t i = 0; i <= LFM_LOGIT_ROWS; i++) {
    const lfm_row row = {1, i % 2, i / 2 + (i % 2 == 0 ? 2 : 0), 1};
    rows[i] = row;
  }
  CHECK(lfm_forward(model, rows, LFM_LOGIT_ROWS + 1) == LFM_ERROR_ROWS);
  CHECK(lfm_reset(model, LFM_SESSIONS) == LFM_ERROR_SLOT && lfm_rewind(model, -1, 0) == LFM_ERROR_SLOT);
  CHECK(lfm_rewind(model, 0, 3) == LFM_ERROR_POSITION && lfm_rewind(model, 0, -1) == LFM_ERROR_POSITION);
  CHECK(lfm_length(model, 3) == -1 && lfm_room(model, -1) == -1 && lfm_session_bytes(model, 3) == 0);
  CHECK(lfm_length(model, 0) == 2 && lfm_length(model, 1) == 0);
  append(model, 0, tokens + 2, LFM_CONTEXT - 2, found);
  CHECK(lfm_room(model, 0) == 0 && forward_one(model, 1, 0, LFM_CONTEXT) == LFM_ERROR_CONTEXT);
  append(model, 2, tokens, LFM_CONTEXT, expected);
  CHECK(memcmp(found, expected, sizeof found) == 0);
  let_go(held);
}

/* Two slots in shared calls give what each gives alone. */
static void slots_case(const char *weights, const char *threads, const char *unused) {
  const holder held = hold(weights, atoi(threads));
  int32_t tokens[2][LFM_CONTEXT];
  (void)unused;
  random_tokens(tokens[0], LFM_CONTEXT);
  random_tokens(tokens[1], LFM_CONTEXT);
  append(held.model, 2, tokens[0], LFM_CONTEXT, expected);
  for (int32_t p = 0; p < LFM_CONTEXT; p++) {
    const lfm_row rows[2] = {{tokens[1][p], 1, p, 77}, {tokens[0][p], 0, p, -1}};
    CHECK(lfm_forward(held.model, rows, 2) == LFM_OK);
    CHECK(memcmp(lfm_logits(held.model, 1), expected[p], sizeof expected[p]) == 0);
    memcpy(found[p], lfm_logits(held.model, 0), sizeof found[p]);
  }
  CHECK(lfm_reset(held.model, 2) == LFM_OK && lfm_length(held.model, 2) == 0);
  append(held.model, 2, tokens[1], LFM_CONTEXT, expected);
  CHECK(memcmp(found, expected, sizeof found) == 0);
  let_go(held);
}

/* Random appends and rewinds; now and then, everything is compared with a fresh run of the same tokens. */
static void rewind_case(const char *weights, const char *threads, const char *unused) {
  const holder held = hold(weights, atoi(threads));
  int32_t tokens[LFM_CONTEXT];
  (void)unused;
  for (int step = 0; step < 600; step++) {
    const int32_t length = lfm_length(held.model, 1), more = random_below(LFM_CONTEXT - length + 1), back = random_below(length + more + 1);
    random_tokens(tokens + length, more);
    append(held.model, 1, tokens + length, more, found);
    CHECK(lfm_length(held.model, 1) == length + more);
    CHECK(lfm_reset(held.model, 0) == LFM_OK);
    append(held.model, 0, tokens, length + more, expected);
    CHECK(memcmp(found, expected, (size_t)(length + more) * sizeof found[0]) == 0);
    CHECK(lfm_rewind(held.model, 1, back) == LFM_OK && lfm_length(held.model, 1) == back);
  }
  let_go(held);
}

/* A restored session continues as the saved one does, also after far rewinds. */
static void save_case(const char *weights, const char *threads, const char *unused) {
  const holder held = hold(weights, atoi(threads));
  int32_t tokens[LFM_CONTEXT];
  (void)unused;
  for (int step = 0; step < 100; step++) {
    const int32_t length = random_below(LFM_CONTEXT), cut = random_below(length + 1);
    unsigned char *bytes;
    size_t count;
    random_tokens(tokens, LFM_CONTEXT);
    CHECK(lfm_reset(held.model, 0) == LFM_OK);
    append(held.model, 0, tokens, length, expected);
    CHECK(lfm_rewind(held.model, 0, cut) == LFM_OK);
    count = lfm_session_bytes(held.model, 0);
    bytes = malloc(count);
    CHECK(lfm_save(held.model, 0, bytes, count) == LFM_OK && lfm_restore(held.model, 1, bytes, count) == LFM_OK);
    CHECK(lfm_length(held.model, 1) == cut && lfm_reset(held.model, 1) == LFM_OK);
    free(bytes);
    append(held.model, 0, tokens + cut, length - cut, expected);
    count = lfm_session_bytes(held.model, 0);
    bytes = malloc(count);
    CHECK(lfm_save(held.model, 0, bytes, count - 1) == LFM_ERROR_BUFFER && lfm_save(held.model, 0, NULL, count) == LFM_ERROR_ARGUMENT);
    CHECK(lfm_save(held.model, 3, bytes, count) == LFM_ERROR_SLOT && lfm_save(held.model, 0, bytes, count) == LFM_OK);
    append(held.model, 0, tokens + length, LFM_CONTEXT - length, expected);
    CHECK(lfm_restore(held.model, 2, bytes, count) == LFM_OK && lfm_length(held.model, 2) == length);
    CHECK(lfm_rewind(held.model, 2, cut) == LFM_OK);
    append(held.model, 2, tokens + cut, LFM_CONTEXT - cut, found);
    CHECK(memcmp(found[cut], expected[cut], (size_t)(LFM_CONTEXT - cut) * sizeof found[0]) == 0);
    if (step == 0) {
      for (size_t i = 0; i < count; i++) {
        bytes[i] ^= 4;
        CHECK(lfm_restore(held.model, 1, bytes, count) == LFM_ERROR_SNAPSHOT);
        bytes[i] ^= 4;
        CHECK(lfm_restore(held.model, 1, bytes, i) == LFM_ERROR_SNAPSHOT);
      }
      CHECK(lfm_restore(held.model, 1, NULL, count) == LFM_ERROR_ARGUMENT && lfm_restore(held.model, 3, bytes, count) == LFM_ERROR_SLOT);
      CHECK(lfm_length(held.model, 1) == 0);
    }
    free(bytes);
  }
  let_go(held);
}

/* A host that keeps its own sessions: it writes rows, runs them, reads logits. */
static void host_case(const char *weights, const char *threads, const char *rows_offset) {
  const holder held = hold(weights, atoi(threads));
  lfm_row *rows = (lfm_row *)(void *)((unsigned char *)held.model + lfm_memory_offset() + atoi(rows_offset));
  int32_t tokens[LFM_CONTEXT];
  random_tokens(tokens, LFM_CONTEXT);
  for (int32_t p = 0; p < LFM_CONTEXT; p++) {
    const lfm_row row = {tokens[p], 1, p, 1};
    rows[0] = row;
    CHECK(lfm_run(held.model, 1, 1) == LFM_OK && lfm_logits(held.model, 1) == NULL);
    memcpy(found[p], lfm_logits(held.model, 0), sizeof found[p]);
  }
  CHECK(lfm_length(held.model, 1) == 0);
  CHECK(lfm_run(held.model, 1, 0) == LFM_ERROR_ARGUMENT && lfm_run(held.model, LFM_CHUNK + 1, 0) == LFM_ERROR_ROWS);
  CHECK(lfm_run(held.model, 0, 0) == LFM_ERROR_ROWS && lfm_run(held.model, 1, LFM_LOGIT_ROWS + 1) == LFM_ERROR_ROWS);
  rows[0].wants_logits = 2;
  CHECK(lfm_run(held.model, 1, 2) == LFM_ERROR_ARGUMENT);
  rows[0].position = LFM_CONTEXT;
  CHECK(lfm_run(held.model, 1, 1) == LFM_ERROR_CONTEXT);
  rows[0].slot = LFM_SESSIONS;
  CHECK(lfm_run(held.model, 1, 1) == LFM_ERROR_SLOT);
  rows[0].token = -1;
  CHECK(lfm_run(held.model, 1, 1) == LFM_ERROR_TOKEN);
  append(held.model, 0, tokens, LFM_CONTEXT, expected);
  CHECK(memcmp(found, expected, sizeof found) == 0);
  let_go(held);
}

static lfm_status create_again(const char *weights) {
  const size_t bytes = lfm_arena_bytes(1);
  void *arena = malloc(bytes);
  lfm_model *model;
  const lfm_status status = lfm_create(&model, arena, bytes, weights, 1, NULL);
  lfm_destroy(model);
  free(arena);
  return status;
}

/* Refused before create, and in every call that evaluates; the session goes on when the environment is itself again. */
static void check_environment(lfm_model *model, const char *weights, int32_t length) {
  CHECK(create_again(weights) == LFM_ERROR_ARITHMETIC);
  CHECK(forward_one(model, 1, 0, length) == LFM_ERROR_ARITHMETIC && lfm_length(model, 0) == length);
  CHECK(lfm_rewind(model, 0, 1) == LFM_ERROR_ARITHMETIC && lfm_length(model, 0) == length);
}

static void environment_case(const char *weights, const char *unused, const char *unused_too) {
  static const int roundings[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  const holder held = hold(weights, 1);
  int32_t tokens[LFM_CONTEXT];
  (void)unused;
  (void)unused_too;
  random_tokens(tokens, LFM_CONTEXT);
  append(held.model, 0, tokens, 20, found);
  for (int i = 0; i < 3; i++) {
    fesetround(roundings[i]);
    check_environment(held.model, weights, 20);
    fesetround(FE_TONEAREST);
  }
#if defined(__x86_64__)
  {
    const unsigned usual = _mm_getcsr();
    _mm_setcsr(usual | 0x8000); /* flush to zero */
    check_environment(held.model, weights, 20);
    _mm_setcsr(usual | 0x0040); /* denormals are zeros */
    check_environment(held.model, weights, 20);
    _mm_setcsr(usual);
  }
#endif
  append(held.model, 0, tokens + 20, 2, found);
  append(held.model, 1, tokens, 22, expected);
  CHECK(memcmp(found, expected, 22 * sizeof found[0]) == 0);
  let_go(held);
}

/* What create says, for builds that make it refuse. */
static void status_case(const char *weights, const char *unused, const char *unused_too) {
  (void)unused;
  (void)unused_too;
  printf("%d\n", (int)create_again(weights));
}

/* Prints the bits of a slot's next logits: those of `token` after what the slot holds. */
static void print_next(lfm_model *model, int32_t token) {
  CHECK(forward_one(model, token, 0, lfm_length(model, 0)) == LFM_OK);
  for (int32_t i = 0; i < LFM_VOCABULARY; i++) printf(i == 0 ? "%.9g" : " %.9g", (double)lfm_logits(model, 0)[i]);
  putchar('\n');
}

/* Saves tokens 1 to `count` into the file `path`, then prints what comes next. */
static void export_case(const char *weights, const char *count, const char *path) {
  const holder held = hold(weights, 1);
  FILE *stream = fopen(path, "wb");
  const int32_t length = atoi(count);
  int32_t tokens[LFM_CONTEXT];
  unsigned char *bytes;
  size_t saved;
  for (int32_t i = 0; i < length; i++) tokens[i] = i + 1;
  append(held.model, 0, tokens, length, NULL);
  saved = lfm_session_bytes(held.model, 0);
  bytes = malloc(saved);
  CHECK(lfm_save(held.model, 0, bytes, saved) == LFM_OK && fwrite(bytes, 1, saved, stream) == saved && fclose(stream) == 0);
  print_next(held.model, 0);
  free(bytes);
  let_go(held);
}

/* Restores the file at `path`; prints the status, the length and what comes next. */
static void import_case(const char *weights, const char *threads, const char *path) {
  const holder held = hold(weights, atoi(threads));
  FILE *stream = fopen(path, "rb");
  unsigned char bytes[65536];
  lfm_status status;
  CHECK(stream != NULL);
  status = lfm_restore(held.model, 0, bytes, fread(bytes, 1, sizeof bytes, stream));
  fclose(stream);
  printf("%d %d\n", (int)status, (int)lfm_length(held.model, 0));
  if (status == LFM_OK) print_next(held.model, 0);
  let_go(held);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(const char *weights, const char *second, const char *third);
  } cases[] = {{"create", create_case}, {"refusals", refusals_case}, {"rows", rows_case},     {"slots", slots_case},
               {"rewind", rewind_case}, {"save", save_case},         {"host", host_case},     {"environment", environment_case},
               {"status", status_case}, {"export", export_case},     {"import", import_case}};
  CHECK(argc >= 3);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    if (strcmp(cases[i].name, argv[1]) != 0) continue;
    cases[i].run(argv[2], argc > 3 ? argv[3] : "1", argc > 4 ? argv[4] : "");
    return 0;
  }
  fprintf(stderr, "%s: is no case\n", argv[1]);
  return 1;
}

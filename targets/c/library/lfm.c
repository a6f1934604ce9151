/* The model in its arena: create, dispatch, forward. */
#include "lfm_internal.h"

#include <string.h>

/* The trailer's sha256 of the weights that this library was compiled with. */
static const unsigned char lfm_weights_sha256[32] = {@weights_sha256@};

#ifdef LFM_LINKED_WEIGHTS
extern const unsigned char lfm_weights[] __asm__("lfm_weights");
#endif

/* Worst first. */
static const struct {
  const lfm_unit *unit;
  unsigned needs;
} lfm_units[] = {
@units@
};

const char *lfm_status_text(lfm_status status) {
  switch (status) {
    case LFM_OK: return "done";
    case LFM_ERROR_ARENA: return "the arena is too small: give it lfm_arena_bytes(threads) bytes";
    case LFM_ERROR_WEIGHTS_MISSING: return "the weights cannot be read: give the path of the artefact's weights.bin, or build with linked weights";
    case LFM_ERROR_WEIGHTS_SIZE: return "the weights do not have the compiled size: copy the artefact's weights.bin again, whole";
    case LFM_ERROR_WEIGHTS_FOREIGN: return "the weights belong to another model: use the weights.bin of the same artefact";
    case LFM_ERROR_VARIANT: return "the variant is not in this library, or the processor lacks its instructions: ask for another, or for NULL, the best";
    case LFM_ERROR_THREADS: return "the threads cannot be had: ask for 1 to 64, or for fewer";
    case LFM_ERROR_ARITHMETIC: return "floating-point arithmetic is not exact: build without fast-math or contraction, and call without flush-to-zero, rounding to nearest";
    case LFM_ERROR_ARGUMENT: return "an argument is null, misaligned or out of its range: see the header";
    case LFM_ERROR_TOKEN: return "a token is not in the vocabulary: encode the text with the model's own tokenizer";
    case LFM_ERROR_SLOT: return "there is no such session slot: compile with a larger --sessions";
    case LFM_ERROR_POSITION: return "a position does not continue its slot: rows of a slot follow one another from its length";
    case LFM_ERROR_CONTEXT: return "a position is past the context: shorten the prompt, reset the slot, or compile with a larger --context";
    case LFM_ERROR_ROWS: return "too many rows or logits for one call, or none: split them, a slot's by lfm_room";
    case LFM_ERROR_BUFFER: return "the buffer is too small: give it lfm_session_bytes(model, slot) bytes";
    case LFM_ERROR_SNAPSHOT: return "the saved session is damaged: restore the bytes as they were saved";
    case LFM_ERROR_SNAPSHOT_FOREIGN: return "the session was saved by another model: restore it with the artefact that saved it";
    case LFM_ERROR_LOGITS: return "none of the logits is a number: the weights are altered, copy the artefact's weights.bin again";
  }
  return "unknown status";
}

static size_t lfm_rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t lfm_memory_offset(void) { return lfm_rounded(sizeof(lfm_model)); }

static size_t lfm_scratch_offset(void) { return lfm_memory_offset() + lfm_rounded(LFM_MEMORY_BYTES); }

static size_t lfm_pool_offset(int32_t threads) { return lfm_scratch_offset() + (size_t)threads * lfm_rounded(LFM_THREAD_BYTES); }

size_t lfm_arena_bytes(int32_t threads) {
  if (threads < 1 || threads > LFM_MOST_THREADS) return 0;
  return lfm_pool_offset(threads) + (threads > 1 ? lfm_pool_bytes() : 0) + 63;
}

/*
 * Volatile operands are calculated with at run time, under the environment of the thread that asks. Where results are flushed the subnormal
 * is zero, and where operands are it compares equal to zero.
 */
int lfm_environment_ok(void) {
  const volatile float one = 1.0f, tiny = 0x1p-30f, least = 0x1p-126f, half = 0.5f;
  const volatile float up = one + tiny, down = one - tiny, subnormal = least * half;
  return up == 1.0f && down == 1.0f && subnormal != 0.0f;
}

static lfm_status lfm_choose(const lfm_unit **chosen, const char *variant) {
  for (size_t i = sizeof lfm_units / sizeof lfm_units[0]; i-- > 0;) {
    const lfm_unit *unit = lfm_units[i].unit;
    if (variant != NULL && strcmp(variant, unit->name) != 0) continue;
    if (!lfm_cpu_has(lfm_units[i].needs)) continue;
    *chosen = unit;
    return lfm_environment_ok() && unit->self_test() == 0 ? LFM_OK : LFM_ERROR_ARITHMETIC;
  }
  return LFM_ERROR_VARIANT;
}

/* Two models with one hash have one layout of weights, so the bytes themselves need no look. */
static lfm_status lfm_check_weights(const unsigned char *weights) {
  static const unsigned char magic[8] = {'L', 'F', 'M', 'C', 'W', 'T', 'S', '1'};
  const unsigned char *trailer = weights + (LFM_WEIGHT_BYTES - LFM_TRAILER_BYTES);
  uint64_t bytes;
  memcpy(&bytes, trailer + 8, sizeof bytes);
  if (memcmp(trailer, magic, sizeof magic) != 0 || bytes != LFM_WEIGHT_BYTES) return LFM_ERROR_WEIGHTS_FOREIGN;
  return memcmp(trailer + 16, lfm_weights_sha256, sizeof lfm_weights_sha256) == 0 ? LFM_OK : LFM_ERROR_WEIGHTS_FOREIGN;
}

static void lfm_work_of(void *context, int32_t thread) {
  const lfm_model *model = context;
  const lfm_call call = {
      .memory = model->memory,
      .weights = model->weights,
      .scratch = model->scratch + (size_t)thread * lfm_rounded(LFM_THREAD_BYTES),
      .rows = model->rows,
      .logits = model->logits,
      .thread = thread,
      .threads = model->threads,
      .barrier = model->pool == NULL ? NULL : lfm_pool_barrier(model->pool),
  };
  model->unit->forward(&call);
}

/* `file` holds the weights where they come from one; it is closed where the model cannot be made. */
static lfm_status lfm_build(lfm_model **model, void *arena, const lfm_file *file, const unsigned char *weights, int32_t threads,
                            const lfm_unit *unit) {
  unsigned char *start = (unsigned char *)arena + (64 - (uintptr_t)arena % 64) % 64;
  lfm_model *made = (lfm_model *)(void *)start;
  const lfm_status status = lfm_check_weights(weights);
  if (status != LFM_OK) return status;
  lfm_huge_pages(start, lfm_pool_offset(threads));
  /* Kernels read rows before position 0, and padding, as what the memory holds there: zeros. */
  memset(start, 0, lfm_pool_offset(threads));
  made->unit = unit;
  made->memory = start + lfm_memory_offset();
  made->scratch = start + lfm_scratch_offset();
  made->weights = weights;
  made->threads = threads;
  if (threads > 1) {
    made->pool = (struct lfm_pool *)(void *)(start + lfm_pool_offset(threads));
    if (!lfm_pool_start(made->pool, threads, lfm_work_of, made)) return LFM_ERROR_THREADS;
  }
  made->file = *file;
  *model = made;
  return LFM_OK;
}

static lfm_status lfm_check_create(lfm_model **model, const void *arena, size_t arena_bytes, int32_t threads) {
  if (model == NULL) return LFM_ERROR_ARGUMENT;
  *model = NULL;
  if (arena == NULL) return LFM_ERROR_ARGUMENT;
  if (lfm_arena_bytes(threads) == 0) return LFM_ERROR_THREADS;
  return arena_bytes < lfm_arena_bytes(threads) ? LFM_ERROR_ARENA : LFM_OK;
}

lfm_status lfm_create_from_memory(lfm_model **model, void *arena, size_t arena_bytes, const void *weights, size_t weights_bytes,
                                  int32_t threads, const char *variant) {
  const lfm_file none = {NULL, NULL, 0};
  const lfm_unit *unit;
  lfm_status status = lfm_check_create(model, arena, arena_bytes, threads);
  if (status != LFM_OK) return status;
  if (weights == NULL || (uintptr_t)weights % 64 != 0) return LFM_ERROR_ARGUMENT;
  if (weights_bytes != LFM_WEIGHT_BYTES) return LFM_ERROR_WEIGHTS_SIZE;
  status = lfm_choose(&unit, variant);
  return status != LFM_OK ? status : lfm_build(model, arena, &none, weights, threads, unit);
}

lfm_status lfm_create(lfm_model **model, void *arena, size_t arena_bytes, const char *weights_path, int32_t threads, const char *variant) {
  lfm_file file = {NULL, NULL, 0};
  const lfm_unit *unit;
  lfm_status status = lfm_check_create(model, arena, arena_bytes, threads);
  if (status != LFM_OK) return status;
  if (weights_path == NULL) {
#ifdef LFM_LINKED_WEIGHTS
    return lfm_create_from_memory(model, arena, arena_bytes, lfm_weights, LFM_WEIGHT_BYTES, threads, variant);
#else
    return LFM_ERROR_WEIGHTS_MISSING;
#endif
  }
  status = lfm_choose(&unit, variant);
  if (status == LFM_OK) status = lfm_file_open(&file, weights_path);
  if (status != LFM_OK) return status;
  status = lfm_build(model, arena, &file, file.bytes, threads, unit);
  if (status != LFM_OK) lfm_file_close(&file);
  return status;
}

void lfm_destroy(lfm_model *model) {
  if (model == NULL) return;
  if (model->pool != NULL) lfm_pool_stop(model->pool);
  lfm_file_close(&model->file);
}

void lfm_execute(lfm_model *model, int32_t rows, int32_t logits) {
  model->rows = rows;
  model->logits = logits;
  if (model->pool == NULL) lfm_work_of(model, 0);
  else lfm_pool_run(model->pool);
}

int lfm_is_slot(const lfm_model *model, int32_t slot) { return model != NULL && slot >= 0 && slot < LFM_SESSIONS; }

unsigned char *lfm_slot_bytes(const lfm_model *model, int32_t slot) {
  return model->memory + LFM_STATE_OFFSET + (size_t)slot * LFM_SLOT_BYTES;
}

/* What holds for rows of every kind of host. */
static lfm_status lfm_check_row(const lfm_row *row) {
  if (row->token < 0 || row->token >= LFM_VOCABULARY) return LFM_ERROR_TOKEN;
  if (row->slot < 0 || row->slot >= LFM_SESSIONS) return LFM_ERROR_SLOT;
  if (row->position < 0) return LFM_ERROR_POSITION;
  return row->position >= LFM_CONTEXT ? LFM_ERROR_CONTEXT : LFM_OK;
}

/* Leaves in `counts` how many rows each slot has. */
static lfm_status lfm_check_rows(const lfm_model *model, const lfm_row *rows, int32_t count, int32_t counts[LFM_SESSIONS]) {
  int32_t logits = 0;
  memset(counts, 0, LFM_SESSIONS * sizeof counts[0]);
  for (int32_t i = 0; i < count; i++) {
    const lfm_row *row = &rows[i];
    const lfm_status status = lfm_check_row(row);
    if (status != LFM_OK) return status;
    if (row->position != model->sessions[row->slot].length + counts[row->slot]) return LFM_ERROR_POSITION;
    counts[row->slot]++;
    logits += row->wants_logits != 0;
  }
  for (int32_t slot = 0; slot < LFM_SESSIONS; slot++)
    if (counts[slot] > lfm_room(model, slot)) return LFM_ERROR_ROWS;
  return logits > LFM_LOGIT_ROWS ? LFM_ERROR_ROWS : LFM_OK;
}

lfm_status lfm_forward(lfm_model *model, const lfm_row *rows, int32_t count) {
  int32_t counts[LFM_SESSIONS];
  int32_t logits = 0;
  lfm_status status;
  if (model == NULL || rows == NULL) return LFM_ERROR_ARGUMENT;
  if (count < 1 || count > LFM_CHUNK) return LFM_ERROR_ROWS;
  status = lfm_check_rows(model, rows, count, counts);
  if (status != LFM_OK) return status;
  if (!lfm_environment_ok()) return LFM_ERROR_ARITHMETIC;
  for (int32_t i = 0; i < count; i++) {
    lfm_row row = rows[i];
    row.wants_logits = row.wants_logits != 0;
    logits += row.wants_logits;
    model->sessions[row.slot].tokens[row.position] = row.token;
    memcpy(model->memory + LFM_ROWS_OFFSET + (size_t)i * sizeof row, &row, sizeof row);
  }
  lfm_execute(model, count, logits);
  for (int32_t slot = 0; slot < LFM_SESSIONS; slot++)
    if (counts[slot] > 0) lfm_advance(model, slot, counts[slot]);
  return LFM_OK;
}

lfm_status lfm_run(lfm_model *model, int32_t rows, int32_t logits) {
  int32_t wanted = 0;
  if (model == NULL) return LFM_ERROR_ARGUMENT;
  if (rows < 1 || rows > LFM_CHUNK || logits < 0 || logits > LFM_LOGIT_ROWS) return LFM_ERROR_ROWS;
  for (int32_t i = 0; i < rows; i++) {
    lfm_row row;
    lfm_status status;
    memcpy(&row, model->memory + LFM_ROWS_OFFSET + (size_t)i * sizeof row, sizeof row);
    status = lfm_check_row(&row);
    if (status != LFM_OK) return status;
    if (row.wants_logits != 0 && row.wants_logits != 1) return LFM_ERROR_ARGUMENT;
    wanted += row.wants_logits;
  }
  if (wanted != logits) return LFM_ERROR_ARGUMENT;
  if (!lfm_environment_ok()) return LFM_ERROR_ARITHMETIC;
  lfm_execute(model, rows, logits);
  return LFM_OK;
}

const float *lfm_logits(const lfm_model *model, int32_t index) {
  if (model == NULL || index < 0 || index >= model->logits) return NULL;
  return (const float *)(const void *)(model->memory + LFM_LOGITS_OFFSET + (size_t)index * LFM_LOGITS_STRIDE);
}

int32_t lfm_likeliest(const lfm_model *model, int32_t index) {
  int32_t token;
  if (model == NULL || index < 0 || index >= model->logits) return -1;
  memcpy(&token, model->memory + LFM_CHOICES_OFFSET + (size_t)index * sizeof token, sizeof token);
  return token;
}

const char *lfm_variant(const lfm_model *model) { return model == NULL ? NULL : model->unit->name; }

int32_t lfm_threads(const lfm_model *model) { return model == NULL ? 0 : model->threads; }

/* A call begins and ends at a barrier. */
int32_t lfm_barriers(const lfm_model *model) { return model == NULL || model->pool == NULL ? 0 : model->unit->barriers + 2; }

void lfm_run_barriers(lfm_model *model, int32_t count) {
  if (model != NULL && model->pool != NULL) lfm_pool_barriers(model->pool, count > 2 ? count - 2 : 0);
}

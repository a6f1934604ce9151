/*
 * @name@: an @model_type@ model of @parameters@ parameters, compiled by lfmc @lfmc_version@.
 *
 * The caller owns all memory: give `lfm_create` an arena of `lfm_arena_bytes` bytes. There are no globals, and nothing is allocated
 * after create. One model serves one caller at a time; its own threads work inside a call alone. Weights may be shared by models. A process
 * made by fork() has none of a model's threads: there a model of several threads may not be used, nor destroyed.
 */
#ifndef LFM_H
#define LFM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32) && defined(LFM_SHARED)
#define LFM_API __declspec(dllexport)
#elif defined(__GNUC__)
#define LFM_API __attribute__((visibility("default")))
#else
#define LFM_API
#endif

#define LFM_VOCABULARY @vocabulary@
/* Positions that a slot holds. */
#define LFM_CONTEXT @context@
/* Most rows of one call, and most of them that may want logits. */
#define LFM_CHUNK @chunk@
#define LFM_LOGIT_ROWS @logit_rows@
#define LFM_SESSIONS @sessions@
/* Positions by which a slot is rewound by counting alone. */
#define LFM_REWIND @rewind@
#define LFM_MOST_THREADS 64
/* The tokens that end an answer, to fill a table with; -1 where the model has none. */
#define LFM_END_TOKENS {@eos@}

/* Lives at the start of the caller's arena. */
typedef struct lfm_model lfm_model;

/* One token at one place of one slot; `wants_logits` is 0 or not. */
typedef struct lfm_row {
  int32_t token, slot, position, wants_logits;
} lfm_row;

/* Numbers are never given another meaning. */
typedef enum lfm_status {
  LFM_OK = 0,
  LFM_ERROR_ARENA = 1,
  LFM_ERROR_WEIGHTS_MISSING = 2,
  LFM_ERROR_WEIGHTS_SIZE = 3,
  LFM_ERROR_WEIGHTS_FOREIGN = 4,
  LFM_ERROR_VARIANT = 5,
  LFM_ERROR_THREADS = 6,
  LFM_ERROR_ARITHMETIC = 7, /* contraction, reassociation, flush to zero or another rounding */
  LFM_ERROR_ARGUMENT = 8,
  LFM_ERROR_TOKEN = 9,
  LFM_ERROR_SLOT = 10,
  LFM_ERROR_POSITION = 11, /* not the slot's next */
  LFM_ERROR_CONTEXT = 12,  /* past the context */
  LFM_ERROR_ROWS = 13,     /* too many rows or logits, or none */
  LFM_ERROR_BUFFER = 14,
  LFM_ERROR_SNAPSHOT = 15, /* damaged */
  LFM_ERROR_SNAPSHOT_FOREIGN = 16,
  LFM_ERROR_LOGITS = 17 /* none of them is a number */
} lfm_status;

/* The fact and the way out, in one sentence. */
LFM_API const char *lfm_status_text(lfm_status status);

/* Bytes of an arena anywhere in memory, 63 of them to align it; 0 where `threads` is not from 1 to LFM_MOST_THREADS. */
LFM_API size_t lfm_arena_bytes(int32_t threads);

/*
 * Makes a model in the arena. The weights file is mapped, or read where it cannot be; `weights_path` NULL takes the weights that are
 * linked in (built with LFM_LINKED_WEIGHTS). `variant` NULL takes the best that the processor has. Fails with `*model` NULL and
 * nothing held.
 */
LFM_API lfm_status lfm_create(lfm_model **model, void *arena, size_t arena_bytes, const char *weights_path, int32_t threads,
                              const char *variant);

/* The same from the bytes of the weights file, aligned to 64; they must outlive the model. */
LFM_API lfm_status lfm_create_from_memory(lfm_model **model, void *arena, size_t arena_bytes, const void *weights, size_t weights_bytes,
                                          int32_t threads, const char *variant);

/* Joins the threads and unmaps the weights; the arena is the caller's again. NULL is let pass. */
LFM_API void lfm_destroy(lfm_model *model);

/* Empties a slot. */
LFM_API lfm_status lfm_reset(lfm_model *model, int32_t slot);

/*
 * Evaluates rows, of one slot or several. The rows of a slot continue at its length, at most `lfm_room` of them. Everything is checked
 * before anything runs: a refused call changes nothing.
 */
LFM_API lfm_status lfm_forward(lfm_model *model, const lfm_row *rows, int32_t count);

/*
 * LFM_VOCABULARY logits of the index-th row that wanted some in the last forward; NULL where there is none. They are valid until rows
 * are evaluated again: by forward, restore, or a rewind further than LFM_REWIND.
 */
LFM_API const float *lfm_logits(const lfm_model *model, int32_t index);

/* The likeliest token by those logits, the lowest of equal ones; -1 where there are none, or none of them is a number. */
LFM_API int32_t lfm_likeliest(const lfm_model *model, int32_t index);

/*
 * How a token is chosen. `temperature` 0 takes the likeliest; `top_p` 1, `min_p` 0, `repetition_penalty` 1 and `top_k` 0 are off. With the same
 * seed, below 2^53, the same tokens are drawn again.
 */
typedef struct lfm_sampling {
  double temperature, top_p, min_p, repetition_penalty;
  uint64_t seed;
  int32_t top_k;
} lfm_sampling;

/* Bytes of the room that `lfm_sample` works in, aligned to 8. */
LFM_API size_t lfm_sampling_bytes(void);

/*
 * The token that follows the slot's, which the penalty and the draw depend on, by the index-th logits of the last forward: the same on every
 * target. A setting out of range is refused.
 */
LFM_API lfm_status lfm_sample(const lfm_model *model, int32_t slot, int32_t index, const lfm_sampling *sampling, void *room, int32_t *token);

/* Tokens that the slot has evaluated; -1 for no slot. */
LFM_API int32_t lfm_length(const lfm_model *model, int32_t slot);

/* Most rows of the slot that one call may have now; 0 where it is full, -1 for no slot. */
LFM_API int32_t lfm_room(const lfm_model *model, int32_t slot);

/*
 * Takes a slot back to `length`, exactly. Further back than the slot's recent rows reach, it starts from a checkpoint and evaluates the
 * tokens since then again.
 */
LFM_API lfm_status lfm_rewind(lfm_model *model, int32_t slot, int32_t length);

/* Bytes that `lfm_save` writes; 0 for no slot. */
LFM_API size_t lfm_session_bytes(const lfm_model *model, int32_t slot);
LFM_API lfm_status lfm_save(const lfm_model *model, int32_t slot, void *out, size_t capacity);

/*
 * Replaces a slot by a saved session, of this library or of the same model on another target. Tokens that the session had not
 * evaluated are evaluated here, without logits: rewind by one and run the last token again to have its own.
 */
LFM_API lfm_status lfm_restore(lfm_model *model, int32_t slot, const void *bytes, size_t count);

LFM_API const char *lfm_variant(const lfm_model *model);
LFM_API int32_t lfm_threads(const lfm_model *model);

/*
 * For hosts that keep their own sessions. The plan's memory, to which the manifest's offsets count, lies `lfm_memory_offset` bytes after
 * the model. `lfm_run` runs the rows that the host wrote there; it checks their ranges and keeps track of nothing.
 */
LFM_API size_t lfm_memory_offset(void);
LFM_API lfm_status lfm_run(lfm_model *model, int32_t rows, int32_t logits);

/*
 * For benchmarks: how often the model's threads wait for one another in a call; and as many waits as `count` in a row, at least 2, with no work
 * between. On one thread there is nothing to wait for.
 */
LFM_API int32_t lfm_barriers(const lfm_model *model);
LFM_API void lfm_run_barriers(lfm_model *model, int32_t count);

#ifdef __cplusplus
}
#endif

#endif

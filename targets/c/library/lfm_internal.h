/*
 * What the library's units share: the floating-point contract, the plan's numbers, a call as a unit sees it, and the platform's names.
 */
#ifndef LFM_INTERNAL_H
#define LFM_INTERNAL_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#include "lfm.h"

/* Every operation is rounded once, to binary32: the same bits from every compiler and processor. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
/* clang has no macros that tell of these. */
#pragma clang fp reassociate(off)
#if __clang_major__ >= 18
#pragma clang fp reciprocal(off)
#endif
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(_M_FP_FAST)
#error "@name@ needs exact binary32 arithmetic: build without -ffast-math and its parts"
#endif
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "@name@ needs infinities and NaN: build without -ffinite-math-only"
#endif
/* 16 widens half precision alone. */
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "@name@ needs binary32 evaluated as binary32 (FLT_EVAL_METHOD 0): on x86 build with -msse2 -mfpmath=sse"
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "@name@ needs a little-endian machine"
#endif

/* The plan. Offsets count from the plan's memory; a slot's from the slot. */
#define LFM_MEMORY_BYTES @memory_bytes@ULL
#define LFM_THREAD_BYTES @thread_bytes@ULL
#define LFM_ROWS_OFFSET @rows_offset@ULL
#define LFM_LOGITS_OFFSET @logits_offset@ULL
#define LFM_LOGITS_STRIDE @logits_stride@ULL
#define LFM_CHOICES_OFFSET @choices_offset@ULL
#define LFM_STATE_OFFSET @state_offset@ULL
#define LFM_SLOT_BYTES @slot_bytes@ULL
/* The weights file, trailer included. */
#define LFM_WEIGHT_BYTES @weight_bytes@ULL
#define LFM_TRAILER_BYTES 64

#if LFM_MEMORY_BYTES > SIZE_MAX / 2 || LFM_WEIGHT_BYTES > SIZE_MAX / 2
#error "@name@ does not fit a 32-bit address space"
#endif

struct lfm_barrier;
struct lfm_pool;

/* One thread's view of a forward call. */
typedef struct lfm_call {
  unsigned char *memory;
  const unsigned char *weights;
  unsigned char *scratch; /* this thread's */
  int32_t rows, logits, thread, threads;
  struct lfm_barrier *barrier;
} lfm_call;

/* The code of one instruction set. `self_test` gives 0 where arithmetic is as the contract says. */
typedef struct lfm_unit {
  const char *name;
  void (*forward)(const lfm_call *call);
  int (*self_test)(void);
  int32_t barriers; /* in `forward` */
} lfm_unit;

@unit_declarations@

typedef struct lfm_range {
  int32_t from, to;
} lfm_range;

/* This thread's part of `units` equal pieces of work. */
static inline lfm_range lfm_share(const lfm_call *call, int32_t units) {
  const int64_t all = units;
  const lfm_range range = {(int32_t)(all * call->thread / call->threads), (int32_t)(all * (call->thread + 1) / call->threads)};
  return range;
}

/* Returns when `threads` threads have called it. */
void lfm_barrier_wait(struct lfm_barrier *barrier, int32_t threads);

/* Between two steps of which the second reads what other threads wrote in the first. */
static inline void lfm_wait(const lfm_call *call) {
  if (call->threads > 1) lfm_barrier_wait(call->barrier, call->threads);
}

/* Threads that do one piece of work together, again and again; the caller is thread 0. */
typedef void (*lfm_work)(void *context, int32_t thread);
size_t lfm_pool_bytes(void);
/* Starts threads 1 to threads-1 in the memory at `pool`; returns 0 where the system refuses, with none left. */
int lfm_pool_start(struct lfm_pool *pool, int32_t threads, lfm_work work, void *context);
void lfm_pool_run(struct lfm_pool *pool);
void lfm_pool_stop(struct lfm_pool *pool);
/* A run whose work is `count` barriers. */
void lfm_pool_barriers(struct lfm_pool *pool, int32_t count);
struct lfm_barrier *lfm_pool_barrier(struct lfm_pool *pool);

/* A file of LFM_WEIGHT_BYTES bytes in memory; `held` is what to give back: a mapping, or an allocation. */
typedef struct lfm_file {
  const unsigned char *bytes;
  void *held;
  int mapped;
} lfm_file;
lfm_status lfm_file_open(lfm_file *file, const char *path);
void lfm_file_close(lfm_file *file);

/*
 * Asks for huge pages under the memory's whole pages, where the system has them: a token passes over all weights, and would miss the
 * processor's table of small pages each time. A hint, to be given before the memory is touched.
 */
void lfm_huge_pages(void *memory, size_t bytes);

/* What the processor and the system may offer. */
enum { LFM_CPU_AVX2 = 1, LFM_CPU_AVX_VNNI = 2, LFM_CPU_AVX512 = 4, LFM_CPU_AMX = 8, LFM_CPU_DOTPROD = 16, LFM_CPU_I8MM = 32 };
/* Whether all of `features` are there; asks the system for the tile registers where AMX is among them. */
int lfm_cpu_has(unsigned features);

/* A slot's past. Its state is exactly that of its first `length` tokens; its rings reach back to `earliest`. */
typedef struct lfm_session {
  int32_t length, earliest;
  int32_t tokens[LFM_CONTEXT];
} lfm_session;

struct lfm_model {
  const lfm_unit *unit;
  unsigned char *memory, *scratch;
  const unsigned char *weights;
  lfm_file file;
  struct lfm_pool *pool; /* NULL for one thread */
  int32_t threads;
  int32_t rows, logits; /* of the last call */
  lfm_session sessions[LFM_SESSIONS];
};

int lfm_is_slot(const lfm_model *model, int32_t slot);
unsigned char *lfm_slot_bytes(const lfm_model *model, int32_t slot);
/* Whether the calling thread rounds to nearest and keeps subnormals. */
int lfm_environment_ok(void);
/* Runs the rows that lie in the plan's memory. */
void lfm_execute(lfm_model *model, int32_t rows, int32_t logits);
/* `count` rows of the slot have run: counts them and keeps the checkpoints that they passed. */
void lfm_advance(lfm_model *model, int32_t slot, int32_t count);

#endif

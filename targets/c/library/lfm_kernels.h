/* A program that times steps: what its loop (lfm_kernels.c) and the generated kernels share. */
#ifndef LFM_KERNELS_H
#define LFM_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* The spaces that steps work in, and the counts of rows; of the threads there is one. */
typedef struct lfm_call {
  unsigned char *memory;
  const unsigned char *weights;
  unsigned char *scratch;
  int32_t rows, logits, thread, threads;
} lfm_call;

typedef struct lfm_range {
  int32_t from, to;
} lfm_range;

/* As the library divides work: to a compiler the bounds are no constants. */
static inline lfm_range lfm_share(const lfm_call *call, int32_t units) {
  const int64_t all = units;
  const lfm_range range = {(int32_t)(all * call->thread / call->threads), (int32_t)(all * (call->thread + 1) / call->threads)};
  return range;
}

/* One call of a kernel. */
typedef struct lfm_step {
  const char *kernel, *label;
  void (*run)(const lfm_call *call);
} lfm_step;

extern const lfm_step lfm_steps[];
extern const size_t lfm_step_count;

/* Bytes of the spaces, and where the rows of a call begin in the memory. */
extern const size_t lfm_memory_bytes, lfm_weight_bytes, lfm_scratch_bytes, lfm_rows_offset;

/* What a thread does before and after its steps. */
void lfm_enter(void);
void lfm_leave(void);

#endif

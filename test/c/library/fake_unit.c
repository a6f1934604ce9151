/*
 * The engine of test/runtime/support.ts as a unit: every slot keeps all tokens by position and the last few in a ring, and the logits
 * depend on all of them. A wrong slot, a wrong position, a stale ring, a lost token or a thread out of step changes the logits.
 */
#include "lfm_internal.h"

#include <string.h>

#ifndef FAKE_SELF_TEST
#define FAKE_SELF_TEST 0
#endif

enum { READS = 2, RING = LFM_REWIND + READS };

static uint32_t mix(uint32_t hash, uint32_t word) {
  uint32_t x = (hash ^ word) * 0x01000193u;
  return ((x ^ (x >> 15)) * 0x2c1b3c6du) ^ (x >> 13);
}

static uint32_t load(const unsigned char *at, int32_t index) {
  uint32_t word;
  memcpy(&word, at + (size_t)index * 4, 4);
  return word;
}

static void store(unsigned char *at, int32_t index, uint32_t word) { memcpy(at + (size_t)index * 4, &word, 4); }

static int32_t likeliest(const unsigned char *logits) {
  float highest = -1.0f;
  int32_t best = -1;
  for (int32_t i = 0; i < LFM_VOCABULARY; i++) {
    float value;
    memcpy(&value, logits + (size_t)i * 4, 4);
    if (value <= highest) continue;
    highest = value;
    best = i;
  }
  return best;
}

/* Thread 0 keeps the state and the choices, one step; every thread hashes on its own and writes its part of the logits, another. */
static void forward(const lfm_call *call) {
  unsigned char *logits = call->memory + LFM_LOGITS_OFFSET;
  int32_t wanted = 0;
  for (int32_t r = 0; r < call->rows; r++) {
    lfm_row row;
    unsigned char *cache, *ring;
    uint32_t hash = 17;
    lfm_range part = lfm_share(call, LFM_VOCABULARY);
    memcpy(&row, call->memory + LFM_ROWS_OFFSET + (size_t)r * sizeof row, sizeof row);
    cache = call->memory + LFM_STATE_OFFSET + (size_t)row.slot * LFM_SLOT_BYTES;
    ring = cache + 4 * LFM_CONTEXT;
    call->scratch[0]++;
    if (call->thread == 0) {
      store(cache, row.position, (uint32_t)row.token + 1);
      store(ring, row.position % RING, (uint32_t)row.token + 1);
    }
    lfm_wait(call);
    for (int32_t back = 1; back <= READS; back++) hash = mix(hash, load(ring, (row.position - back + RING) % RING));
    for (int32_t p = 0; p <= row.position; p++) hash = mix(hash, load(cache, p) - 1);
    if (row.wants_logits) {
      for (int32_t i = part.from; i < part.to; i++) {
        const float value = (float)(mix(hash, (uint32_t)i) >> 8) / 4194304.0f;
        memcpy(logits + (size_t)i * 4, &value, 4);
      }
    }
    lfm_wait(call);
    if (row.wants_logits) {
      if (call->thread == 0) store(call->memory + LFM_CHOICES_OFFSET, wanted, (uint32_t)likeliest(logits));
      logits += LFM_LOGITS_STRIDE;
      wanted++;
    }
  }
}

static int self_test(void) { return FAKE_SELF_TEST; }

const lfm_unit lfm_unit_scalar = {"scalar", forward, self_test, 2};

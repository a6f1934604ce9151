/*
 * From logits to a token, with the bits of every other target: penalty, temperature, top-k, top-p, min-p, draw, in this order. Each step is
 * binary32 with one rounding, the exponential is the contract's, and the random number depends on the seed and the position alone.
 */
#include "lfm_internal.h"

#include <math.h>
#include <string.h>

/* One token of the candidates by rank: what orders it in the upper half, its id in the lower. */
typedef uint64_t lfm_key;

/* What the room holds. `spare` is the sort's, and the weights' when all is sorted. */
typedef struct lfm_candidates {
  lfm_key *keys, *spare;
  float *scores;
} lfm_candidates;

size_t lfm_sampling_bytes(void) { return (size_t)LFM_VOCABULARY * (2 * sizeof(lfm_key) + sizeof(float)); }

static lfm_candidates lfm_candidates_in(void *room) {
  lfm_key *keys = room;
  const lfm_candidates places = {keys, keys + LFM_VOCABULARY, (float *)(void *)(keys + 2 * (size_t)LFM_VOCABULARY)};
  return places;
}

static uint32_t lfm_bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static float lfm_power_of_two(int32_t n) {
  const uint32_t bits = (uint32_t)(n + 127) << 23;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* e^x under the numeric contract; 0 below about -104. */
static float lfm_exp(float x) {
  const float clamped = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
  /* Adding 1.5 * 2^23 rounds to the nearest integer. */
  const float n = (clamped * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) - n * -2.1219444e-4f;
  float p = 1.98756915e-4f;
  int32_t exponent, half;
  if (x != x) return x;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  exponent = (int32_t)n;
  half = exponent / 2;
  return ((p * (r * r) + r) + 1.0f) * lfm_power_of_two(half) * lfm_power_of_two(exponent - half);
}

/* A bijection of 32-bit words with full avalanche: lowbias32, Wellons, https://nullprogram.com/blog/2018/07/31/. */
static uint32_t lfm_mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

/* 24 random bits in [0, 1). */
static float lfm_uniform(uint64_t seed, int32_t position) {
  const uint32_t word = lfm_mix(lfm_mix(lfm_mix(0x9e3779b9u ^ (uint32_t)seed) ^ (uint32_t)(seed >> 32)) ^ (uint32_t)position);
  return (float)(lfm_mix(word) >> 8) * 0x1p-24f;
}

/* Larger for a higher score, and of equal scores for a lower id. */
static lfm_key lfm_key_of(float score, int32_t id) {
  const uint32_t bits = lfm_bits_of(score + 0.0f); /* -0 ranks with 0 */
  const uint32_t order = bits >> 31 ? ~bits : bits | 0x80000000u;
  return (lfm_key)order << 32 | (uint32_t)~id;
}

static int32_t lfm_id_of(lfm_key key) { return (int32_t)~(uint32_t)key; }

/* The `limit` largest keys in falling order, each put in its place among those before it: for few. */
static void lfm_rank_few(lfm_key *keys, const float *scores, int32_t limit) {
  int32_t count = 0;
  for (int32_t id = 0; id < LFM_VOCABULARY; id++) {
    const lfm_key key = lfm_key_of(scores[id], id);
    int32_t at = count;
    if (count == limit && key < keys[limit - 1]) continue;
    if (count < limit) count++;
    else at--;
    for (; at > 0 && keys[at - 1] < key; at--) keys[at] = keys[at - 1];
    keys[at] = key;
  }
}

/* All keys in falling order, by the digits of their upper halves; the ids rise already, and equal ones stay as they are. */
static void lfm_rank_all(lfm_key *keys, lfm_key *spare, const float *scores) {
  for (int32_t id = 0; id < LFM_VOCABULARY; id++) keys[id] = lfm_key_of(scores[id], id);
  for (int shift = 32; shift < 64; shift += 8) {
    int32_t places[257] = {0};
    lfm_key *const sorted = spare;
    for (int32_t i = 0; i < LFM_VOCABULARY; i++) places[256 - (keys[i] >> shift & 255)]++;
    for (int32_t digit = 1; digit < 257; digit++) places[digit] += places[digit - 1];
    for (int32_t i = 0; i < LFM_VOCABULARY; i++) sorted[places[255 - (keys[i] >> shift & 255)]++] = keys[i];
    spare = keys;
    keys = sorted;
  }
}

/* Fewer are ranked one by one. */
#define LFM_FEW 128

/* Fills in the candidates by rank, `limit` of them (0: all), and returns how many. */
static int32_t lfm_rank(const lfm_candidates *candidates, const float *scores, int32_t limit) {
  const int32_t count = limit > 0 && limit < LFM_VOCABULARY ? limit : LFM_VOCABULARY;
  if (count <= LFM_FEW) lfm_rank_few(candidates->keys, scores, count);
  else lfm_rank_all(candidates->keys, candidates->spare, scores);
  return count;
}

/* Fills in the candidates by id. */
static int32_t lfm_every(const lfm_candidates *candidates) {
  for (int32_t id = 0; id < LFM_VOCABULARY; id++) candidates->keys[id] = (uint32_t)~id;
  return LFM_VOCABULARY;
}

/* The logits, or a copy in which every token that the slot has is less likely. */
static const float *lfm_penalized(const lfm_session *session, const float *logits, double asked, float *scores) {
  const float penalty = (float)asked;
  if (asked == 1) return logits;
  memcpy(scores, logits, LFM_VOCABULARY * sizeof scores[0]);
  for (int32_t i = 0; i < session->length; i++) {
    const int32_t token = session->tokens[i];
    const float logit = logits[token];
    scores[token] = logit > 0 ? logit / penalty : logit * penalty;
  }
  return scores;
}

/* The first of the largest scores; -1 where none is a number. */
static int32_t lfm_largest(const float *scores) {
  float highest = -INFINITY;
  int32_t best = -1;
  for (int32_t id = 0; id < LFM_VOCABULARY; id++) {
    if (!(scores[id] > highest)) continue;
    highest = scores[id];
    best = id;
  }
  return best;
}

static float lfm_sum(const float *weights, int32_t count) {
  float total = 0;
  for (int32_t i = 0; i < count; i++) total += weights[i];
  return total;
}

/* Length of the shortest prefix that holds `share` of all the weight. */
static int32_t lfm_nucleus(const float *weights, int32_t count, float share) {
  const float enough = share * lfm_sum(weights, count);
  float reached = 0;
  for (int32_t i = 0; i < count; i++) {
    reached += weights[i];
    if (reached >= enough) return i + 1;
  }
  return count;
}

/* Moves the candidates of weight at least `least` to the front, in order; the best has weight 1. */
static int32_t lfm_keep_likely(lfm_key *keys, float *weights, int32_t count, float least) {
  int32_t kept = 0;
  for (int32_t i = 0; i < count; i++) {
    if (weights[i] < least) continue;
    keys[kept] = keys[i];
    weights[kept++] = weights[i];
  }
  return kept;
}

/* Inverse-transform sampling over the candidates that the filters keep. */
static int32_t lfm_draw(const lfm_candidates *candidates, const float *scores, int32_t best, const lfm_sampling *sampling, float random) {
  const int is_nucleus = sampling->top_p < 1;
  const float temperature = (float)sampling->temperature;
  float *const weights = (float *)(void *)candidates->spare;
  int32_t last = best;
  int32_t count = sampling->top_k > 0 || is_nucleus ? lfm_rank(candidates, scores, sampling->top_k) : lfm_every(candidates);
  float reached = 0, target;
  for (int32_t i = 0; i < count; i++) weights[i] = lfm_exp((scores[lfm_id_of(candidates->keys[i])] - scores[best]) / temperature);
  if (is_nucleus) count = lfm_nucleus(weights, count, (float)sampling->top_p);
  if (sampling->min_p > 0) count = lfm_keep_likely(candidates->keys, weights, count, (float)sampling->min_p);
  target = random * lfm_sum(weights, count);
  for (int32_t i = 0; i < count; i++) {
    if (weights[i] == 0) continue;
    last = lfm_id_of(candidates->keys[i]);
    reached += weights[i];
    if (reached > target) break;
  }
  return last;
}

static int lfm_is_share(double value) { return value >= 0 && value <= 1; }

/* Whether the settings are what every target takes. */
static int lfm_is_sampling(const lfm_sampling *sampling) {
  return sampling->temperature >= 0 && sampling->temperature <= DBL_MAX && sampling->repetition_penalty > 0 &&
         sampling->repetition_penalty <= DBL_MAX && lfm_is_share(sampling->top_p) && lfm_is_share(sampling->min_p) && sampling->top_k >= 0 &&
         sampling->seed < (uint64_t)1 << 53;
}

lfm_status lfm_sample(const lfm_model *model, int32_t slot, int32_t index, const lfm_sampling *sampling, void *room, int32_t *token) {
  const float *logits = lfm_logits(model, index), *scores;
  lfm_candidates candidates;
  int32_t best;
  if (model == NULL || sampling == NULL || room == NULL || token == NULL) return LFM_ERROR_ARGUMENT;
  if ((uintptr_t)room % sizeof(lfm_key) != 0 || !lfm_is_sampling(sampling)) return LFM_ERROR_ARGUMENT;
  if (!lfm_is_slot(model, slot)) return LFM_ERROR_SLOT;
  if (logits == NULL) return LFM_ERROR_ROWS;
  if (!lfm_environment_ok()) return LFM_ERROR_ARITHMETIC;
  candidates = lfm_candidates_in(room);
  scores = lfm_penalized(&model->sessions[slot], logits, sampling->repetition_penalty, candidates.scores);
  best = scores == logits ? lfm_likeliest(model, index) : lfm_largest(scores);
  if (best < 0) return LFM_ERROR_LOGITS;
  /* A temperature that vanishes in binary32 is 0. */
  if ((float)sampling->temperature == 0) *token = best;
  else *token = lfm_draw(&candidates, scores, best, sampling, lfm_uniform(sampling->seed, model->sessions[slot].length));
  return LFM_OK;
}

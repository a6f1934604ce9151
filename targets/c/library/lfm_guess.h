/* Guesses at the tokens to come, for `run --decode`. */
#ifndef LFM_GUESS_H
#define LFM_GUESS_H

#include "lfm.h"

/* Most rows of one verifying call: the last known token and guesses. Wrong ones are taken back by counting alone. */
#define LFM_WINDOW LFM_REWIND

/* Contexts of one to three tokens, and what followed each of them last. */
typedef struct lfm_followers {
  struct lfm_follower *entries;
  size_t count, capacity;
} lfm_followers;

typedef struct lfm_guesser {
  lfm_followers seen;
  /* Tokens that were learned. */
  int32_t read;
  int is_jacobi;
  /* Of Jacobi decoding: what the model said last about the tokens to come. */
  int32_t window[LFM_WINDOW];
  int32_t window_count;
} lfm_guesser;

/* Guesses after a window in which `right` were right: each costs a row, so fewer are made where the last were wrong. */
int32_t lfm_reach_after(int32_t right);

void lfm_guesser_free(lfm_guesser *guesser);

/* At most `most` tokens that may come after `tokens`; returns how many. */
int32_t lfm_guess(const lfm_guesser *guesser, const int32_t *tokens, int32_t count, int32_t most, int32_t *guesses);

/* `tokens` are known by now; `doubtful` is what the model would say after each guess from the first wrong one on, if they were right. */
void lfm_learn(lfm_guesser *guesser, const int32_t *tokens, int32_t count, const int32_t *doubtful, int32_t doubtful_count);

#endif

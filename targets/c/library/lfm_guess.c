/*
 * Where guesses come from. Look-up takes what followed the last tokens when they stood in the text before. Jacobi decoding takes what the
 * model itself said about the tokens to come, after what the text's own n-grams tell (Kou et al. 2024, https://arxiv.org/abs/2403.00835).
 * Right or wrong, guesses never change a token: they only save forward passes.
 */
#include "lfm_guess.h"

#include <stdlib.h>
#include <string.h>

#include "lfm_command.h"

#define LONGEST 3

/* `length` 0 is a free place. */
struct lfm_follower {
  int32_t context[LONGEST], length, token;
};

static size_t place_of(const lfm_followers *seen, const int32_t *context, int32_t length) {
  uint32_t hash = (uint32_t)length;
  size_t place;
  for (int32_t i = 0; i < length; i++) hash = (hash ^ (uint32_t)context[i]) * 0x9e3779b1u, hash ^= hash >> 15;
  for (place = hash & (seen->capacity - 1);; place = (place + 1) & (seen->capacity - 1)) {
    const struct lfm_follower *entry = &seen->entries[place];
    if (entry->length == 0) return place;
    if (entry->length == length && memcmp(entry->context, context, (size_t)length * sizeof context[0]) == 0) return place;
  }
}

static void put(lfm_followers *seen, const int32_t *context, int32_t length, int32_t token) {
  struct lfm_follower *entry = &seen->entries[place_of(seen, context, length)];
  if (entry->length == 0) seen->count++;
  memcpy(entry->context, context, (size_t)length * sizeof context[0]);
  entry->length = length;
  entry->token = token;
}

/* Makes room for `more` entries; at least half of the places stay free. */
static void reserve(lfm_followers *seen, size_t more) {
  lfm_followers larger = {NULL, 0, seen->capacity == 0 ? 1024 : seen->capacity};
  while ((seen->count + more) * 2 > larger.capacity) larger.capacity *= 2;
  if (larger.capacity == seen->capacity) return;
  larger.entries = lfm_allocate(larger.capacity * sizeof larger.entries[0]);
  memset(larger.entries, 0, larger.capacity * sizeof larger.entries[0]);
  for (size_t i = 0; i < seen->capacity; i++)
    if (seen->entries[i].length > 0) put(&larger, seen->entries[i].context, seen->entries[i].length, seen->entries[i].token);
  free(seen->entries);
  *seen = larger;
}

/* Remembers what follows what, from the token at `start` on. */
static void learn_from(lfm_followers *seen, const int32_t *tokens, int32_t start, int32_t count) {
  reserve(seen, (size_t)(count - start) * LONGEST);
  for (int32_t at = start < 1 ? 1 : start; at < count; at++)
    for (int32_t length = 1; length <= LONGEST && length <= at; length++) put(seen, tokens + at - length, length, tokens[at]);
}

/*
 * Appends to the guesses in `text`, which begin at `begin` after up to LONGEST known tokens, until there are `most` or no end of at least
 * `least` tokens has a follower.
 */
static int32_t follow(const lfm_followers *seen, int32_t *text, int32_t begin, int32_t count, int32_t most, int32_t least) {
  while (seen->capacity > 0 && count - begin < most) {
    int32_t found = -1;
    for (int32_t length = count < LONGEST ? count : LONGEST; length >= least && found < 0; length--) {
      const struct lfm_follower *entry = &seen->entries[place_of(seen, text + count - length, length)];
      if (entry->length > 0) found = entry->token;
    }
    if (found < 0) break;
    text[count++] = found;
  }
  return count;
}

int32_t lfm_reach_after(int32_t right) { return 2 * right + 5; }

void lfm_guesser_free(lfm_guesser *guesser) { free(guesser->seen.entries); }

int32_t lfm_guess(const lfm_guesser *guesser, const int32_t *tokens, int32_t count, int32_t most, int32_t *guesses) {
  int32_t text[LONGEST + LFM_WINDOW];
  const int32_t begin = count < LONGEST ? count : LONGEST;
  int32_t end = begin;
  if (most > LFM_WINDOW) most = LFM_WINDOW;
  memcpy(text, tokens + count - begin, (size_t)begin * sizeof text[0]);
  end = follow(&guesser->seen, text, begin, end, most, guesser->is_jacobi ? 2 : 1);
  if (guesser->is_jacobi) {
    for (; end - begin < guesser->window_count && end - begin < most; end++) text[end] = guesser->window[end - begin];
    for (; end - begin < most; end++) text[end] = text[end - 1];
  }
  memcpy(guesses, text + begin, (size_t)(end - begin) * sizeof text[0]);
  return end - begin;
}

void lfm_learn(lfm_guesser *guesser, const int32_t *tokens, int32_t count, const int32_t *doubtful, int32_t doubtful_count) {
  for (int32_t i = 0; i < doubtful_count; i++) guesser->window[i] = doubtful[i];
  guesser->window_count = doubtful_count;
  learn_from(&guesser->seen, tokens, guesser->read, count);
  guesser->read = count;
}

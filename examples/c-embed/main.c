/*
 * Generates text with a model that is linked in, always by the likeliest token.
 *
 *     embed WEIGHTS TOKENIZER [id…]     e.g. embed build/demo-c/weights.bin build/demo-c/tokenizer.json
 */
#include <demo.h>
#include <stdio.h>
#include <stdlib.h>

#include "vocabulary.h"

enum { MOST_TOKENS = 60, THREADS = 2 };

/* <|startoftext|>It is a truth universally acknowledged, that */
static const int32_t default_prompt[] = {1, 1432, 372, 266, 1924, 480, 80, 1186, 562, 2769, 19, 342};

static void check(lfm_demo_status status) {
  if (status == LFM_DEMO_OK) return;
  fprintf(stderr, "error: %s\n", lfm_demo_status_text(status));
  exit(1);
}

static void print_token(const vocabulary *words, int32_t token) {
  const token_bytes word = words->tokens[token];
  if (word.count > 0) fwrite(word.bytes, 1, word.count, stdout);
  fflush(stdout);
}

/* Appends tokens to the first slot, many in one call; the last one's logits are there afterwards. */
static void evaluate(lfm_demo_model *model, const int32_t *tokens, int32_t count) {
  lfm_demo_row rows[LFM_DEMO_CHUNK];
  for (int32_t done = 0, part; done < count; done += part) {
    const int32_t position = lfm_demo_length(model, 0), room = lfm_demo_room(model, 0);
    if (room == 0) check(LFM_DEMO_ERROR_CONTEXT);
    part = count - done < room ? count - done : room;
    for (int32_t i = 0; i < part; i++) {
      const lfm_demo_row row = {tokens[done + i], 0, position + i, done + i + 1 == count};
      rows[i] = row;
    }
    check(lfm_demo_forward(model, rows, part));
  }
}

static int32_t likeliest(const float *logits) {
  int32_t best = 0;
  for (int32_t i = 1; i < LFM_DEMO_VOCABULARY; i++)
    if (logits[i] > logits[best]) best = i;
  return best;
}

static int is_end(int32_t token) {
  static const int32_t ends[] = LFM_DEMO_END_TOKENS;
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
    if (ends[i] == token) return 1;
  return 0;
}

static void generate(lfm_demo_model *model, const vocabulary *words, const int32_t *prompt, int32_t count) {
  evaluate(model, prompt, count);
  for (int32_t i = 0; i < count; i++) print_token(words, prompt[i]);
  for (int i = 0; i < MOST_TOKENS && lfm_demo_room(model, 0) > 0; i++) {
    const int32_t token = likeliest(lfm_demo_logits(model, 0));
    if (is_end(token)) break;
    print_token(words, token);
    evaluate(model, &token, 1);
  }
  putchar('\n');
}

int main(int argc, char **argv) {
  const size_t bytes = lfm_demo_arena_bytes(THREADS);
  int32_t given[LFM_DEMO_CONTEXT], count = 0;
  lfm_demo_model *model;
  vocabulary words;
  void *arena;
  if (argc < 3) {
    fprintf(stderr, "usage: %s WEIGHTS TOKENIZER [id...]\n", argv[0]);
    return 2;
  }
  if (!vocabulary_read(&words, argv[2], LFM_DEMO_VOCABULARY)) {
    fprintf(stderr, "error: %s: has no vocabulary: give the artefact's tokenizer.json\n", argv[2]);
    vocabulary_free(&words);
    return 1;
  }
  for (int i = 3; i < argc && count < LFM_DEMO_CONTEXT; i++) given[count++] = (int32_t)strtol(argv[i], NULL, 10);
  arena = malloc(bytes);
  check(lfm_demo_create(&model, arena, bytes, argv[1], THREADS, NULL));
  if (count > 0) generate(model, &words, given, count);
  else generate(model, &words, default_prompt, sizeof default_prompt / sizeof default_prompt[0]);
  lfm_demo_destroy(model);
  free(arena);
  vocabulary_free(&words);
  return 0;
}

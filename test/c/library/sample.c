/*
 * The sampler on logits of any kind: reads cases from a file, prints each one's status and token. A case: the settings as the header has them
 * (four doubles, a seed of 64 bits, top_k of 32), the likeliest token, the count of tokens, LFM_CONTEXT of them, and LFM_VOCABULARY logits.
 * With a second argument it reads floats, and prints the bits of the exponential of each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For its own exponential. */
#include "fake_sample.c"

static lfm_model model;
static unsigned char memory[LFM_MEMORY_BYTES];

static int take(FILE *file, void *place, size_t bytes) { return fread(place, 1, bytes, file) == bytes; }

static int print_exponentials(FILE *file) {
  for (float x; take(file, &x, sizeof x);) printf("%u\n", (unsigned)lfm_bits_of(lfm_exp(x)));
  return fclose(file);
}

int main(int argc, char **argv) {
  FILE *file = argc >= 2 ? fopen(argv[1], "rb") : NULL;
  lfm_sampling sampling;
  void *room;
  if (file == NULL) return 1;
  if (argc == 3) return print_exponentials(file);
  room = malloc(lfm_sampling_bytes());
  if (room == NULL) return 1;
  model.memory = memory;
  model.logits = 1;
  while (take(file, &sampling, 5 * sizeof(double)) && take(file, &sampling.top_k, 4)) {
    int32_t token = -1;
    int status;
    if (!take(file, memory + LFM_CHOICES_OFFSET, 4) || !take(file, &model.sessions[0].length, 4)) return 1;
    if (!take(file, model.sessions[0].tokens, sizeof model.sessions[0].tokens)) return 1;
    if (!take(file, memory + LFM_LOGITS_OFFSET, LFM_VOCABULARY * sizeof(float))) return 1;
    status = lfm_sample(&model, 0, 0, &sampling, room, &token);
    printf("%d %d\n", status, (int)token);
  }
  free(room);
  return fclose(file);
}

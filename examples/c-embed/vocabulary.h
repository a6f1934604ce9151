/* From token ids to text, for tokenizers of bytes (byte-level BPE, as LFM2's are). */
#ifndef VOCABULARY_H
#define VOCABULARY_H

#include <stddef.h>

typedef struct token_bytes {
  const unsigned char *bytes;
  size_t count;
} token_bytes;

typedef struct vocabulary {
  token_bytes *tokens; /* by id; without bytes where the file tells none, or the token is a special one */
  int size;
  unsigned char *text; /* that of all tokens, in the file's order */
} vocabulary;

/* Reads the vocabulary of a tokenizer.json; returns 0 where there is none in it. The caller frees it in either case. */
int vocabulary_read(vocabulary *made, const char *path, int size);
void vocabulary_free(vocabulary *made);

#endif

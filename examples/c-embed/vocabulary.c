/*
 * tokenizer.json names each token by characters that stand for its bytes: "vocab": {"Ġis": 42, …}. Bytes that are visible characters in
 * Latin-1 stand for themselves; the other 68, in rising order, are the characters from 256 on. That table is all that decoding takes.
 */
#include "vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_visible(int byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174; }

/* The byte that a character stands for; '?' for one that stands for none, as in the names of special tokens. */
static unsigned char byte_of(unsigned character) {
  unsigned hidden = 256;
  for (int byte = 0; byte < 256; byte++) {
    if (is_visible(byte) ? character == (unsigned)byte : character == hidden) return (unsigned char)byte;
    hidden += !is_visible(byte);
  }
  return '?';
}

/* One character of a JSON string: an escape, or UTF-8. Characters past U+FFFF stand for no byte, so halves of escaped pairs do not matter. */
static const char *read_character(const char *at, unsigned *character) {
  static const char escapes[] = "b\bf\fn\nr\rt\t";
  const unsigned char first = (unsigned char)*at;
  if (first == '\\') {
    const char *escape = strchr(escapes, at[1]);
    *character = escape != NULL && at[1] != '\0' ? (unsigned)escape[1] : (unsigned char)at[1];
    if (at[1] != 'u') return at + (at[1] == '\0' ? 1 : 2);
    return at + 2 + (sscanf(at + 2, "%4x", character) == 1 ? 4 : 0);
  }
  *character = first < 0x80 ? first : first < 0xe0 ? first & 0x1f : first < 0xf0 ? first & 0x0f : first & 0x07;
  for (at++; ((unsigned char)*at & 0xc0) == 0x80; at++) *character = *character << 6 | ((unsigned char)*at & 0x3f);
  return at;
}

/* The tokens that stand for no text are named <|…|>. */
static int is_special(const unsigned char *begin, const unsigned char *end) {
  return end - begin > 4 && memcmp(begin, "<|", 2) == 0 && memcmp(end - 2, "|>", 2) == 0;
}

static char *read_file(const char *path) {
  FILE *stream = fopen(path, "rb");
  char *text = NULL;
  long length;
  if (stream == NULL) return NULL;
  if (fseek(stream, 0, SEEK_END) == 0 && (length = ftell(stream)) >= 0 && (text = calloc((size_t)length + 1, 1)) != NULL) {
    rewind(stream);
    if (fread(text, 1, (size_t)length, stream) != (size_t)length) text[0] = '\0';
  }
  fclose(stream);
  return text;
}

/* The first entry of the vocabulary: what follows "vocab": { */
static const char *find_entries(const char *json) {
  static const char key[] = "\"vocab\"";
  const char *at = json;
  while ((at = strstr(at, key)) != NULL) {
    at += strlen(key);
    at += strspn(at, " \t\r\n:");
    if (*at == '{') return at + 1;
  }
  return NULL;
}

int vocabulary_read(vocabulary *made, const char *path, int size) {
  char *json = read_file(path);
  const char *at = json == NULL ? NULL : find_entries(json);
  unsigned char *end;
  made->size = size;
  made->tokens = calloc((size_t)size, sizeof made->tokens[0]);
  end = made->text = malloc(json == NULL ? 1 : strlen(json) + 1);
  while (at != NULL && made->tokens != NULL && made->text != NULL) {
    const unsigned char *begin = end;
    long id;
    at += strspn(at, " \t\r\n,");
    if (*at++ != '"') break;
    while (*at != '"' && *at != '\0') {
      unsigned character;
      at = read_character(at, &character);
      *end++ = byte_of(character);
    }
    if (*at == '\0') break;
    at += 1 + strspn(at + 1, " \t\r\n:");
    id = strtol(at, (char **)&at, 10);
    if (id < 0 || id >= size) continue;
    made->tokens[id].bytes = begin;
    made->tokens[id].count = is_special(begin, end) ? 0 : (size_t)(end - begin);
  }
  free(json);
  return at != NULL && end > made->text;
}

void vocabulary_free(vocabulary *made) {
  free(made->tokens);
  free(made->text);
}

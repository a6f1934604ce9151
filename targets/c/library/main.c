/* The command line: `forward`, `run` and `bench`. Data goes to stdout, diagnostics to stderr; exit 0 done, 1 input at fault, 2 usage. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "lfm_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef _WIN32
#include <sys/stat.h>
#endif

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* A safetensors file: the header's length as eight little-endian bytes, a JSON header of whole words, the data. */
static void write_header(FILE *stream, int32_t rows) {
  char json[200];
  unsigned char length_bytes[8];
  const unsigned long long data = (unsigned long long)rows * LFM_VOCABULARY * 4;
  size_t length = (size_t)snprintf(json, sizeof json, "{\"logits\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%llu]}}",
                                   (int)rows, LFM_VOCABULARY, data);
  while (length % 8 != 0) json[length++] = ' ';
  for (int i = 0; i < 8; i++) length_bytes[i] = (unsigned char)((unsigned long long)length >> 8 * i);
  fwrite(length_bytes, 1, sizeof length_bytes, stream);
  fwrite(json, 1, length, stream);
}

/* Writes the logits of every token; returns what refused a call. */
static lfm_status write_logits(FILE *stream, lfm_model *model, const lfm_list *tokens, int32_t chunk) {
  lfm_row rows[LFM_CHUNK];
  write_header(stream, tokens->count);
  for (int32_t done = 0, part; done < tokens->count; done += part) {
    lfm_status status;
    part = least(least(tokens->count - done, chunk), least(LFM_LOGIT_ROWS, lfm_room(model, 0)));
    if (part == 0) return LFM_ERROR_CONTEXT;
    for (int32_t i = 0; i < part; i++) {
      const lfm_row row = {tokens->values[done + i], 0, done + i, 1};
      rows[i] = row;
    }
    status = lfm_forward(model, rows, part);
    if (status != LFM_OK) return status;
    for (int32_t i = 0; i < part; i++) fwrite(lfm_logits(model, i), sizeof(float), LFM_VOCABULARY, stream);
  }
  return LFM_OK;
}

/* Whether a path leads to something that must be written into, not replaced: a device, a pipe, a link. */
static int is_special(const char *path) {
#ifdef _WIN32
  (void)path;
  return 0;
#else
  struct stat found;
  return lstat(path, &found) == 0 && !S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode);
#endif
}

/* Nothing is left beside the file, whole or not, where it cannot be made. */
static void forward(int argc, char **argv) {
  const char *list = NULL, *chunk = "2147483647", *threads = "1", *variant = NULL, *weights = NULL, *path = NULL;
  const lfm_flag flags[] = {{"--tokens", &list, 0},    {"--chunk", &chunk, 0},     {"--threads", &threads, 0}, {"--variant", &variant, 0},
                            {"--weights", &weights, 0}, {"-o", &path, 0},          {"--output", &path, 0}};
  static const char suffix[] = ".partial";
  lfm_opened opened;
  lfm_list tokens;
  int32_t most;
  lfm_status status;
  FILE *stream;
  char *aside;
  int whole, direct;
  lfm_parse_flags(argc, argv, flags, sizeof flags / sizeof flags[0]);
  if (list == NULL || path == NULL) lfm_fail(2, "forward: give --tokens and -o");
  most = lfm_parse_number("--chunk", chunk, 1);
  tokens = lfm_read_tokens(list);
  opened = lfm_open(argv[0], weights, lfm_parse_number("--threads", threads, 1), variant);
  direct = is_special(path);
  aside = lfm_allocate(strlen(path) + sizeof suffix);
  strcpy(aside, path);
  if (!direct) strcat(aside, suffix);
  stream = fopen(aside, "wb");
  if (stream == NULL) lfm_fail(1, "%s: cannot be written", aside);
  status = write_logits(stream, opened.model, &tokens, most);
  whole = !ferror(stream);
  whole = fclose(stream) == 0 && whole && status == LFM_OK;
#ifdef _WIN32
  if (whole) remove(path);
#endif
  if (!whole || (!direct && rename(aside, path) != 0)) {
    if (!direct) remove(aside);
    lfm_require(status, "tokens");
    lfm_fail(1, "%s: cannot be written", path);
  }
  free(aside);
  free(tokens.values);
  lfm_close(&opened);
}

static int is_end_token(int32_t token) {
  static const int32_t end_tokens[] = LFM_END_TOKENS;
  for (size_t i = 0; i < sizeof end_tokens / sizeof end_tokens[0]; i++)
    if (end_tokens[i] == token) return 1;
  return 0;
}

typedef struct generation {
  int32_t *tokens;
  int32_t count, calls;
  const char *stop_reason;
  double first_seconds, decode_seconds;
} generation;

/* Takes the likeliest token each time. The end token is kept; `each` is called with every token. */
static generation generate(lfm_model *model, const lfm_list *prompt, int32_t most, int ignore_end, void (*each)(int32_t index, int32_t token)) {
  generation made = {NULL, 0, 0, "length", 0, 0};
  const int32_t *pending = prompt->values;
  int32_t pending_count = prompt->count, length = prompt->count;
  if (length > LFM_CONTEXT) lfm_require(LFM_ERROR_CONTEXT, "--tokens");
  for (int32_t i = 0; i < prompt->count; i++)
    if (prompt->values[i] >= LFM_VOCABULARY) lfm_require(LFM_ERROR_TOKEN, "--tokens");
  made.tokens = lfm_allocate(LFM_CONTEXT * sizeof made.tokens[0]);
  if (most == 0) return made;
  for (made.stop_reason = length >= LFM_CONTEXT ? "context" : NULL; made.stop_reason == NULL;) {
    const double begin = lfm_seconds();
    int32_t token;
    made.calls += lfm_evaluate(model, pending, pending_count);
    token = lfm_next_token(model);
    *(made.count == 0 ? &made.first_seconds : &made.decode_seconds) += lfm_seconds() - begin;
    each(made.count, token);
    made.tokens[made.count] = token;
    pending = &made.tokens[made.count++];
    pending_count = 1;
    length++;
    if (!ignore_end && is_end_token(token)) made.stop_reason = "eos";
    else if (made.count >= most) made.stop_reason = "length";
    else if (length >= LFM_CONTEXT) made.stop_reason = "context";
  }
  return made;
}

static void print_token(int32_t index, int32_t token) {
  printf(index == 0 ? "%d" : ",%d", (int)token);
  fflush(stdout);
}

static void print_nothing(int32_t index, int32_t token) {
  (void)index;
  (void)token;
}

static double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

/* As `lfmc run --json` prints it; text takes a tokenizer, and greedy generation no seed. */
static void print_record(const generation *made, int32_t prompt_count, double load_seconds) {
  printf("{\"text\":\"\",\"tokens\":[");
  for (int32_t i = 0; i < made->count; i++) printf(i == 0 ? "%d" : ",%d", (int)made->tokens[i]);
  printf("],\"promptTokens\":%d,\"stopReason\":\"%s\",\"seed\":0,\"stats\":{\"loadSeconds\":%.9g,\"firstTokenSeconds\":%.9g,", (int)prompt_count,
         made->stop_reason, load_seconds, made->first_seconds);
  printf("\"prefillTokensPerSecond\":%.9g,\"decodeTokensPerSecond\":%.9g,\"forwardPasses\":%d}}\n", rate(prompt_count, made->first_seconds),
         rate(made->count - 1, made->decode_seconds), (int)made->calls);
}

static void run(int argc, char **argv) {
  const char *list = NULL, *most = "128", *ignore_end = NULL, *threads = "1", *variant = NULL, *weights = NULL, *json = NULL;
  const lfm_flag flags[] = {{"--tokens", &list, 0},     {"--max-tokens", &most, 0}, {"--ignore-eos", &ignore_end, 1}, {"--threads", &threads, 0},
                            {"--variant", &variant, 0}, {"--weights", &weights, 0}, {"--json", &json, 1}};
  const double begin = lfm_seconds();
  double load_seconds;
  lfm_opened opened;
  lfm_list prompt;
  generation made;
  int32_t most_tokens;
  lfm_parse_flags(argc, argv, flags, sizeof flags / sizeof flags[0]);
  if (list == NULL) lfm_fail(2, "run: give --tokens 1,2,3");
  prompt = lfm_parse_list("--tokens", list, 0);
  most_tokens = lfm_parse_number("--max-tokens", most, 0);
  opened = lfm_open(argv[0], weights, lfm_parse_number("--threads", threads, 1), variant);
  load_seconds = lfm_seconds() - begin;
  made = generate(opened.model, &prompt, most_tokens, ignore_end != NULL, json != NULL ? print_nothing : print_token);
  if (json != NULL) print_record(&made, prompt.count, load_seconds);
  else putchar('\n');
  free(made.tokens);
  free(prompt.values);
  lfm_close(&opened);
}

int main(int argc, char **argv) {
  const char *command = argc < 2 ? NULL : argv[1];
  if (command == NULL) lfm_fail(2, "give a command");
  if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) lfm_print_usage();
  else if (strcmp(command, "forward") == 0) forward(argc, argv);
  else if (strcmp(command, "run") == 0) run(argc, argv);
  else if (strcmp(command, "bench") == 0) lfm_bench(argc, argv);
  else lfm_fail(2, "%s: is no command", command);
  if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
  lfm_fail(1, "stdout: cannot be written");
}

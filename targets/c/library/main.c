/* The command line: `forward`, `run` and `bench`. Data goes to stdout, diagnostics to stderr; exit 0 done, 1 input at fault, 2 usage. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "lfm_command.h"
#include "lfm_guess.h"

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
  /* The prompt, and what came after it. */
  int32_t *tokens;
  int32_t prompt, count, calls;
  const char *stop_reason;
  double first_seconds, decode_seconds;
} generation;

/* What `run` is asked for. */
typedef struct wish {
  int32_t most;
  int ignore_end;
  /* NULL guesses nothing. */
  lfm_guesser *guesser;
  int32_t window, reach;
  /* Called with every token. */
  void (*each)(int32_t index, int32_t token);
} wish;

/* Appends a token; where it is the last one, the stop reason tells why. */
static void append(generation *made, const wish *wanted, int32_t token) {
  const int32_t index = made->count - made->prompt;
  made->tokens[made->count++] = token;
  wanted->each(index, token);
  if (!wanted->ignore_end && is_end_token(token)) made->stop_reason = "eos";
  else if (index + 1 >= wanted->most) made->stop_reason = "length";
  else if (made->count >= LFM_CONTEXT) made->stop_reason = "context";
}

/*
 * Evaluates the last token and guesses after it in one call. What the model says after a token is certain where every guess up to there was
 * right; what was evaluated for others is taken back.
 */
static void verify(lfm_model *model, generation *made, wish *wanted, const int32_t *guesses, int32_t guess_count) {
  const int32_t known = made->count, count = least(guess_count + 1, lfm_room(model, 0));
  lfm_row rows[LFM_WINDOW];
  int32_t doubtful[LFM_WINDOW], doubtful_count = 0, found = 0;
  for (int32_t i = 0; i < count; i++) {
    const lfm_row row = {i == 0 ? made->tokens[known - 1] : guesses[i - 1], 0, known - 1 + i, 1};
    rows[i] = row;
  }
  lfm_require(lfm_forward(model, rows, count), "--decode");
  made->calls++;
  for (int is_right = 1; is_right && found < count && made->stop_reason == NULL; found++) {
    const int32_t token = lfm_next_token(model, found);
    append(made, wanted, token);
    is_right = found < guess_count && token == guesses[found];
  }
  for (int32_t i = found; i < count && lfm_likeliest(model, i) >= 0; i++) doubtful[doubtful_count++] = lfm_likeliest(model, i);
  lfm_require(lfm_rewind(model, 0, made->count - 1), "--decode");
  lfm_learn(wanted->guesser, made->tokens, made->count, doubtful, doubtful_count);
  wanted->reach = lfm_reach_after(found - 1);
}

/* The next token, and those that guesses bring along. The first pass reads the prompt. */
static void step(lfm_model *model, generation *made, wish *wanted) {
  const int32_t evaluated = lfm_length(model, 0);
  const int32_t left = least(wanted->most - (made->count - made->prompt), LFM_CONTEXT - made->count);
  const int32_t window = least(least(wanted->window, left), least(LFM_CHUNK, LFM_LOGIT_ROWS));
  int32_t guesses[LFM_WINDOW], guess_count = 0;
  if (wanted->guesser != NULL && made->count - evaluated == 1)
    guess_count = lfm_guess(wanted->guesser, made->tokens, made->count, least(window - 1, wanted->reach), guesses);
  if (guess_count > 0) {
    verify(model, made, wanted, guesses, guess_count);
    return;
  }
  made->calls += lfm_evaluate(model, made->tokens + evaluated, made->count - evaluated);
  append(made, wanted, lfm_next_token(model, 0));
  if (wanted->guesser != NULL) lfm_learn(wanted->guesser, made->tokens, made->count, NULL, 0);
}

/* Takes the likeliest token each time. The end token is kept. */
static generation generate(lfm_model *model, const lfm_list *prompt, wish *wanted) {
  generation made = {NULL, prompt->count, prompt->count, 0, NULL, 0, 0};
  if (prompt->count > LFM_CONTEXT) lfm_require(LFM_ERROR_CONTEXT, "--tokens");
  for (int32_t i = 0; i < prompt->count; i++)
    if (prompt->values[i] >= LFM_VOCABULARY) lfm_require(LFM_ERROR_TOKEN, "--tokens");
  made.tokens = lfm_allocate(LFM_CONTEXT * sizeof made.tokens[0]);
  memcpy(made.tokens, prompt->values, (size_t)prompt->count * sizeof made.tokens[0]);
  if (wanted->most == 0) made.stop_reason = "length";
  else if (prompt->count >= LFM_CONTEXT) made.stop_reason = "context";
  while (made.stop_reason == NULL) {
    const int is_first = made.count == made.prompt;
    const double begin = lfm_seconds();
    step(model, &made, wanted);
    *(is_first ? &made.first_seconds : &made.decode_seconds) += lfm_seconds() - begin;
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
static void print_record(const generation *made, double load_seconds) {
  printf("{\"text\":\"\",\"tokens\":[");
  for (int32_t i = made->prompt; i < made->count; i++) printf(i == made->prompt ? "%d" : ",%d", (int)made->tokens[i]);
  printf("],\"promptTokens\":%d,\"stopReason\":\"%s\",\"seed\":0,\"stats\":{\"loadSeconds\":%.9g,\"firstTokenSeconds\":%.9g,",
         (int)made->prompt, made->stop_reason, load_seconds, made->first_seconds);
  printf("\"prefillTokensPerSecond\":%.9g,\"decodeTokensPerSecond\":%.9g,\"forwardPasses\":%d}}\n", rate(made->prompt, made->first_seconds),
         rate(made->count - made->prompt - 1, made->decode_seconds), (int)made->calls);
}

/* Fills in how tokens are found. */
static void choose_decoder(wish *wanted, lfm_guesser *guesser, const char *decode, const char *window) {
  memset(guesser, 0, sizeof *guesser);
  guesser->is_jacobi = strcmp(decode, "jacobi") == 0;
  if (strcmp(decode, "greedy") != 0 && strcmp(decode, "lookup") != 0 && !guesser->is_jacobi)
    lfm_fail(2, "--decode: expected greedy, jacobi or lookup, not \"%s\"", decode);
  wanted->guesser = strcmp(decode, "greedy") == 0 ? NULL : guesser;
  wanted->window = window == NULL ? least(8, LFM_WINDOW) : lfm_parse_number("--window", window, 1);
  wanted->reach = wanted->window - 1;
  if (wanted->window > LFM_WINDOW) lfm_fail(2, "--window: expected 1 to %d", LFM_WINDOW);
}

static void run(int argc, char **argv) {
  const char *list = NULL, *most = "128", *ignore_end = NULL, *threads = "1", *variant = NULL, *weights = NULL, *json = NULL;
  const char *decode = "greedy", *window = NULL;
  const lfm_flag flags[] = {{"--tokens", &list, 0},     {"--max-tokens", &most, 0}, {"--ignore-eos", &ignore_end, 1},
                            {"--decode", &decode, 0},   {"--window", &window, 0},   {"--threads", &threads, 0},
                            {"--variant", &variant, 0}, {"--weights", &weights, 0}, {"--json", &json, 1}};
  const double begin = lfm_seconds();
  double load_seconds;
  lfm_opened opened;
  lfm_list prompt;
  lfm_guesser guesser;
  generation made;
  wish wanted;
  lfm_parse_flags(argc, argv, flags, sizeof flags / sizeof flags[0]);
  if (list == NULL) lfm_fail(2, "run: give --tokens 1,2,3");
  prompt = lfm_parse_list("--tokens", list, 0);
  wanted.most = lfm_parse_number("--max-tokens", most, 0);
  wanted.ignore_end = ignore_end != NULL;
  wanted.each = json != NULL ? print_nothing : print_token;
  choose_decoder(&wanted, &guesser, decode, window);
  opened = lfm_open(argv[0], weights, lfm_parse_number("--threads", threads, 1), variant);
  load_seconds = lfm_seconds() - begin;
  made = generate(opened.model, &prompt, &wanted);
  if (json != NULL) print_record(&made, load_seconds);
  else putchar('\n');
  lfm_guesser_free(&guesser);
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

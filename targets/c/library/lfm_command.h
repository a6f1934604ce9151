/* What the commands of main.c share: flags, lists of numbers, opening the model, the clock. */
#ifndef LFM_COMMAND_H
#define LFM_COMMAND_H

#include "lfm.h"

/* Says what is wrong on stderr and ends the process: 1 where the input is at fault, 2 where the usage is, which is then shown. */
#ifdef __GNUC__
__attribute__((noreturn, format(printf, 2, 3)))
#endif
void lfm_fail(int status, const char *format, ...);

void lfm_print_usage(void);

/* Ends the process unless the status is LFM_OK. */
void lfm_require(lfm_status status, const char *subject);

void *lfm_allocate(size_t bytes);

/* One flag of a command; a switch takes no value and is "" when given. */
typedef struct lfm_flag {
  const char *name;
  const char **value;
  int is_switch;
} lfm_flag;
/* Fills in the values of a command's arguments, which begin at `argv[2]`. */
void lfm_parse_flags(int argc, char **argv, const lfm_flag *flags, size_t count);

/* The caller frees `values`. */
typedef struct lfm_list {
  int32_t *values;
  int32_t count;
} lfm_list;
/* Numbers of at least `least`, separated by commas; larger ones than any are INT32_MAX. */
lfm_list lfm_parse_list(const char *flag, const char *text, int32_t least);
int32_t lfm_parse_number(const char *flag, const char *text, int32_t least);
/* Token ids of a JSON file: [1, 2, 3]. */
lfm_list lfm_read_tokens(const char *path);

/* The model with its arena, which `lfm_close` frees. `weights` NULL looks beside the executable, above it, and in the current folder. */
typedef struct lfm_opened {
  lfm_model *model;
  void *arena;
  size_t arena_bytes;
} lfm_opened;
lfm_opened lfm_open(const char *executable, const char *weights, int32_t threads, const char *variant);
void lfm_close(lfm_opened *opened);

/* Appends tokens to the first slot, in as few calls as may be; the last one wants logits. Returns how many calls there were. */
int32_t lfm_evaluate(lfm_model *model, const int32_t *tokens, int32_t count);

/* The likeliest token by the index-th logits of the last call; ends the process where they are no numbers. */
int32_t lfm_next_token(const lfm_model *model, int32_t index);

double lfm_seconds(void);

/* The `bench` command. */
void lfm_bench(int argc, char **argv);

#endif

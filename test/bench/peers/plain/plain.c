/*
 * LFM2 in plain loops, in the manner of llama2.c: one token at a time, one thread, no intrinsics, no blocking; what a reader would write from
 * the formulas. Weights are f32, or int8 in groups of 32 with activations quantised alike. `weights-file.ts` writes the file that it maps.
 *
 *   plain bench FILE PROMPT DECODE STARTED   prints a Repetition; STARTED is when the process was started, in ms since 1970
 *   plain logits FILE ID…                    writes the logits after each token, f32 [tokens, vocabulary]
 */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

enum { MAGIC = 0x4e4c504c, GROUP = 32, FIRST_PROMPT = 16 };

/* The file begins with it; then a kind for each layer, then tensors. */
typedef struct {
  int32_t magic, is_int8, layers, hidden, feed_forward, heads, kv_heads, head_size, conv_width, vocabulary, is_tied, has_conv_bias;
  float epsilon, rope_base;
} Config;

/* [rows, columns]: `values`, or `bytes` with a scale for every 32 of them. */
typedef struct {
  int rows, columns;
  const float *values;
  const int8_t *bytes;
  const float *scales;
} Matrix;

typedef struct {
  int is_attention;
  const float *operator_norm, *ffn_norm;
  /* Convolution; the biases may be NULL. */
  Matrix conv_in, conv_out;
  const float *conv_in_bias, *taps, *conv_bias, *conv_out_bias;
  float *recent; /* [conv_width, hidden], the newest row last */
  /* Attention. */
  Matrix q, k, v, out;
  const float *q_norm, *k_norm;
  float *keys, *values; /* [positions, kv_heads * head_size] */
  Matrix gate, up, down;
} Layer;

typedef struct {
  Config config;
  Matrix embedding, head;
  const float *final_norm;
  Layer *layers;
  int positions;
  float *x, *normed, *out, *wide, *gate, *up, *query, *mixed, *scores, *logits;
  /* The activations of one product as int8. */
  int8_t *bytes;
  float *scales;
} Model;

static void fail(const char *fact) {
  fprintf(stderr, "plain: %s\n", fact);
  exit(1);
}

static void *zeros(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (memory == NULL) fail("out of memory");
  return memory;
}

/* The model's file. */

typedef struct {
  const char *at;
  int is_int8;
} Reader;

static const float *read_floats(Reader *reader, size_t count) {
  const float *values = (const float *)reader->at;
  reader->at += count * sizeof(float);
  return values;
}

static Matrix read_matrix(Reader *reader, int rows, int columns) {
  const size_t count = (size_t)rows * columns;
  Matrix matrix = {rows, columns, NULL, NULL, NULL};
  if (!reader->is_int8) {
    matrix.values = read_floats(reader, count);
    return matrix;
  }
  matrix.bytes = (const int8_t *)reader->at;
  reader->at += count;
  matrix.scales = read_floats(reader, count / GROUP);
  return matrix;
}

static void read_convolution(Reader *reader, const Config *c, Layer *layer) {
  layer->conv_in = read_matrix(reader, 3 * c->hidden, c->hidden);
  layer->taps = read_floats(reader, (size_t)c->hidden * c->conv_width);
  layer->conv_out = read_matrix(reader, c->hidden, c->hidden);
  if (c->has_conv_bias) {
    layer->conv_in_bias = read_floats(reader, 3 * (size_t)c->hidden);
    layer->conv_bias = read_floats(reader, c->hidden);
    layer->conv_out_bias = read_floats(reader, c->hidden);
  }
  layer->recent = zeros((size_t)c->conv_width * c->hidden, sizeof(float));
}

static void read_attention(Reader *reader, const Config *c, int positions, Layer *layer) {
  const int query_size = c->heads * c->head_size, kv_size = c->kv_heads * c->head_size;
  layer->q = read_matrix(reader, query_size, c->hidden);
  layer->k = read_matrix(reader, kv_size, c->hidden);
  layer->v = read_matrix(reader, kv_size, c->hidden);
  layer->out = read_matrix(reader, c->hidden, query_size);
  layer->q_norm = read_floats(reader, c->head_size);
  layer->k_norm = read_floats(reader, c->head_size);
  layer->keys = zeros((size_t)positions * kv_size, sizeof(float));
  layer->values = zeros((size_t)positions * kv_size, sizeof(float));
}

static const char *map_file(const char *path, const char **end) {
  struct stat status;
  const int file = open(path, O_RDONLY);
  if (file < 0 || fstat(file, &status) != 0) fail("can't open the model");
  const char *data = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  if (data == MAP_FAILED || (size_t)status.st_size < sizeof(Config)) fail("can't map the model");
  *end = data + status.st_size;
  return data;
}

static Model open_model(const char *path, int positions) {
  Model m = {0};
  const char *end, *data = map_file(path, &end);
  m.config = *(const Config *)data;
  m.positions = positions;
  const Config *c = &m.config;
  if (c->magic != MAGIC) fail("not a model of plain loops");
  const int32_t *kinds = (const int32_t *)(data + sizeof(Config));
  Reader reader = {(const char *)(kinds + c->layers), c->is_int8};
  m.embedding = read_matrix(&reader, c->vocabulary, c->hidden);
  m.final_norm = read_floats(&reader, c->hidden);
  m.head = c->is_tied ? m.embedding : read_matrix(&reader, c->vocabulary, c->hidden);
  m.layers = zeros(c->layers, sizeof(Layer));
  for (int i = 0; i < c->layers; i++) {
    Layer *layer = &m.layers[i];
    layer->is_attention = kinds[i];
    layer->operator_norm = read_floats(&reader, c->hidden);
    layer->ffn_norm = read_floats(&reader, c->hidden);
    if (layer->is_attention) read_attention(&reader, c, positions, layer);
    else read_convolution(&reader, c, layer);
    layer->gate = read_matrix(&reader, c->feed_forward, c->hidden);
    layer->up = read_matrix(&reader, c->feed_forward, c->hidden);
    layer->down = read_matrix(&reader, c->hidden, c->feed_forward);
  }
  if (reader.at != end) fail("the model's file has another size");
  const int query_size = c->heads * c->head_size;
  const int widest = c->feed_forward > query_size ? c->feed_forward : query_size;
  const int most = widest > c->hidden ? widest : c->hidden;
  m.x = zeros(c->hidden, sizeof(float));
  m.normed = zeros(c->hidden, sizeof(float));
  m.out = zeros(c->hidden, sizeof(float));
  m.wide = zeros(3 * (size_t)c->hidden, sizeof(float));
  m.gate = zeros(c->feed_forward, sizeof(float));
  m.up = zeros(c->feed_forward, sizeof(float));
  m.query = zeros(query_size, sizeof(float));
  m.mixed = zeros(most, sizeof(float));
  m.scores = zeros(positions, sizeof(float));
  m.logits = zeros(c->vocabulary, sizeof(float));
  m.bytes = zeros(most, 1);
  m.scales = zeros(most / GROUP + 1, sizeof(float));
  return m;
}

/* Products. */

static void quantize(Model *m, const float *x, int count) {
  for (int group = 0; group < count / GROUP; group++) {
    const float *values = x + group * GROUP;
    float largest = 0;
    for (int i = 0; i < GROUP; i++) {
      const float size = fabsf(values[i]);
      if (size > largest) largest = size;
    }
    const float scale = largest / 127;
    m->scales[group] = scale;
    for (int i = 0; i < GROUP; i++) m->bytes[group * GROUP + i] = scale == 0 ? 0 : (int8_t)roundf(values[i] / scale);
  }
}

static void multiply_int8(const Model *m, float *out, const Matrix *w) {
  const int columns = w->columns;
  for (int row = 0; row < w->rows; row++) {
    const int8_t *bytes = w->bytes + (size_t)row * columns;
    const float *scales = w->scales + (size_t)row * (columns / GROUP);
    float sum = 0;
    for (int group = 0; group < columns / GROUP; group++) {
      int32_t total = 0;
      for (int i = 0; i < GROUP; i++) total += (int32_t)m->bytes[group * GROUP + i] * (int32_t)bytes[group * GROUP + i];
      sum += (float)total * scales[group] * m->scales[group];
    }
    out[row] = sum;
  }
}

static void multiply_f32(float *out, const float *x, const Matrix *w) {
  for (int row = 0; row < w->rows; row++) {
    const float *values = w->values + (size_t)row * w->columns;
    float sum = 0;
    for (int i = 0; i < w->columns; i++) sum += values[i] * x[i];
    out[row] = sum;
  }
}

/* out = w x + bias; the bias may be NULL. */
static void multiply(Model *m, float *out, const float *x, const Matrix *w, const float *bias) {
  if (w->values != NULL) {
    multiply_f32(out, x, w);
  } else {
    quantize(m, x, w->columns);
    multiply_int8(m, out, w);
  }
  if (bias != NULL)
    for (int row = 0; row < w->rows; row++) out[row] += bias[row];
}

/* The layers. */

static void rms_norm(float *out, const float *x, const float *weight, int count, float epsilon) {
  float sum = 0;
  for (int i = 0; i < count; i++) sum += x[i] * x[i];
  const float scale = 1 / sqrtf(sum / count + epsilon);
  for (int i = 0; i < count; i++) out[i] = x[i] * scale * weight[i];
}

/* Normalises each head and turns its halves by the position's angles. */
static void norm_and_rotate(float *x, int heads, const float *weight, int position, const Config *c) {
  const int half = c->head_size / 2;
  for (int head = 0; head < heads; head++) {
    float *v = x + head * c->head_size;
    rms_norm(v, v, weight, c->head_size, c->epsilon);
    for (int i = 0; i < half; i++) {
      const float angle = position * powf(c->rope_base, -2.0f * i / c->head_size);
      const float cosine = cosf(angle), sine = sinf(angle), a = v[i], b = v[i + half];
      v[i] = a * cosine - b * sine;
      v[i + half] = b * cosine + a * sine;
    }
  }
}

static void softmax(float *x, int count) {
  float largest = x[0], sum = 0;
  for (int i = 1; i < count; i++)
    if (x[i] > largest) largest = x[i];
  for (int i = 0; i < count; i++) {
    x[i] = expf(x[i] - largest);
    sum += x[i];
  }
  for (int i = 0; i < count; i++) x[i] /= sum;
}

static void attend(Model *m, Layer *layer, int position) {
  const Config *c = &m->config;
  const int size = c->head_size, kv_size = c->kv_heads * size;
  float *key = layer->keys + (size_t)position * kv_size, *value = layer->values + (size_t)position * kv_size;
  multiply(m, m->query, m->normed, &layer->q, NULL);
  multiply(m, key, m->normed, &layer->k, NULL);
  multiply(m, value, m->normed, &layer->v, NULL);
  norm_and_rotate(m->query, c->heads, layer->q_norm, position, c);
  norm_and_rotate(key, c->kv_heads, layer->k_norm, position, c);
  for (int head = 0; head < c->heads; head++) {
    const int offset = head / (c->heads / c->kv_heads) * size;
    const float *query = m->query + head * size;
    float *mixed = m->mixed + head * size;
    for (int t = 0; t <= position; t++) {
      const float *other = layer->keys + (size_t)t * kv_size + offset;
      float score = 0;
      for (int i = 0; i < size; i++) score += query[i] * other[i];
      m->scores[t] = score / sqrtf(size);
    }
    softmax(m->scores, position + 1);
    memset(mixed, 0, size * sizeof(float));
    for (int t = 0; t <= position; t++) {
      const float *other = layer->values + (size_t)t * kv_size + offset;
      for (int i = 0; i < size; i++) mixed[i] += m->scores[t] * other[i];
    }
  }
  multiply(m, m->out, m->mixed, &layer->out, NULL);
}

static void convolve(Model *m, Layer *layer) {
  const int hidden = m->config.hidden, width = m->config.conv_width;
  const float *b = m->wide, *c = m->wide + hidden, *x = m->wide + 2 * hidden;
  multiply(m, m->wide, m->normed, &layer->conv_in, layer->conv_in_bias);
  memmove(layer->recent, layer->recent + hidden, (size_t)(width - 1) * hidden * sizeof(float));
  for (int i = 0; i < hidden; i++) {
    float sum = 0;
    layer->recent[(width - 1) * hidden + i] = b[i] * x[i];
    for (int j = 0; j < width; j++) sum += layer->taps[i * width + j] * layer->recent[j * hidden + i];
    m->mixed[i] = c[i] * (layer->conv_bias == NULL ? sum : sum + layer->conv_bias[i]);
  }
  multiply(m, m->out, m->mixed, &layer->conv_out, layer->conv_out_bias);
}

static void feed_forward(Model *m, Layer *layer) {
  multiply(m, m->gate, m->normed, &layer->gate, NULL);
  multiply(m, m->up, m->normed, &layer->up, NULL);
  for (int i = 0; i < m->config.feed_forward; i++) m->gate[i] = m->gate[i] / (1 + expf(-m->gate[i])) * m->up[i];
  multiply(m, m->out, m->gate, &layer->down, NULL);
}

static void embed(Model *m, int token) {
  const Matrix *w = &m->embedding;
  for (int i = 0; i < w->columns; i++) {
    const size_t at = (size_t)token * w->columns + i;
    m->x[i] = w->values != NULL ? w->values[at] : w->bytes[at] * w->scales[at / GROUP];
  }
}

/* Leaves the logits of the next token in m->logits. As in llama2.c, a prompt's tokens have theirs computed too. */
static void forward(Model *m, int token, int position) {
  const Config *c = &m->config;
  embed(m, token);
  for (int i = 0; i < c->layers; i++) {
    Layer *layer = &m->layers[i];
    rms_norm(m->normed, m->x, layer->operator_norm, c->hidden, c->epsilon);
    if (layer->is_attention) attend(m, layer, position);
    else convolve(m, layer);
    for (int j = 0; j < c->hidden; j++) m->x[j] += m->out[j];
    rms_norm(m->normed, m->x, layer->ffn_norm, c->hidden, c->epsilon);
    feed_forward(m, layer);
    for (int j = 0; j < c->hidden; j++) m->x[j] += m->out[j];
  }
  rms_norm(m->normed, m->x, m->final_norm, c->hidden, c->epsilon);
  multiply(m, m->logits, m->normed, &m->head, NULL);
}

/* The commands. */

static void clear(Model *m) {
  const Config *c = &m->config;
  for (int i = 0; i < c->layers; i++)
    if (!m->layers[i].is_attention) memset(m->layers[i].recent, 0, (size_t)c->conv_width * c->hidden * sizeof(float));
}

static int likeliest(const Model *m) {
  int best = 0;
  for (int i = 1; i < m->config.vocabulary; i++)
    if (m->logits[i] > m->logits[best]) best = i;
  return best;
}

static double seconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

/* Reads `count` tokens of the whole vocabulary, the same as the other contenders read. */
static void read_prompt(Model *m, int count) {
  clear(m);
  for (int i = 0; i < count; i++) forward(m, (uint32_t)(i + 1) * 0x9e3779b1u % (uint32_t)m->config.vocabulary, i);
}

static void bench(const char *path, int prompt, int decode, double started) {
  const int shortest = decode + 1 > FIRST_PROMPT ? decode + 1 : FIRST_PROMPT;
  Model m = open_model(path, prompt > shortest ? prompt : shortest);
  read_prompt(&m, FIRST_PROMPT);
  int token = likeliest(&m);
  const double first_token = seconds(CLOCK_REALTIME) - started / 1000;

  const double begin = seconds(CLOCK_MONOTONIC);
  read_prompt(&m, prompt);
  const double prefill = prompt / (seconds(CLOCK_MONOTONIC) - begin);

  read_prompt(&m, 1);
  token = likeliest(&m);
  const double decode_begin = seconds(CLOCK_MONOTONIC);
  for (int i = 0; i < decode; i++) {
    forward(&m, token, i + 1);
    token = likeliest(&m);
  }
  const double decoded = decode / (seconds(CLOCK_MONOTONIC) - decode_begin);
  printf("{\"firstTokenSeconds\":%.4f,\"prefill\":%.4f,\"decode\":[%.4f]}\n", first_token, prefill, decoded);
}

static void write_logits(const char *path, int count, char **ids) {
  Model m = open_model(path, count);
  for (int i = 0; i < count; i++) {
    const int id = atoi(ids[i]);
    if (id < 0 || id >= m.config.vocabulary) fail("no such token");
    forward(&m, id, i);
    fwrite(m.logits, sizeof(float), m.config.vocabulary, stdout);
  }
}

int main(int argc, char **argv) {
  if (argc == 6 && strcmp(argv[1], "bench") == 0) bench(argv[2], atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
  else if (argc > 3 && strcmp(argv[1], "logits") == 0) write_logits(argv[2], argc - 3, argv + 3);
  else fail("bench FILE PROMPT DECODE STARTED, or logits FILE ID…");
  return 0;
}

// llama.cpp as a program: llama-wasm MODEL THREADS PROMPT DECODE DEPTH SAMPLES STARTED
// Prints one JSON object of what it measured, as the other children do. STARTED is when the process was started, in ms since 1970.
// At depth 0 it measures the first token of a prompt of 16, a prompt, and decoding; deeper, decoding alone.

#include "llama.h"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

static llama_context * context;
static int vocab_size;

static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static void evaluate(llama_token * tokens, int count) {
    for (int from = 0; from < count; from += 512) {
        if (llama_decode(context, llama_batch_get_one(tokens + from, std::min(512, count - from))) != 0) exit(3);
    }
}

static llama_token likeliest() {
    const float * logits = llama_get_logits_ith(context, -1);
    return std::max_element(logits, logits + vocab_size) - logits;
}

static void clear() {
    llama_memory_clear(llama_get_memory(context), true);
}

static double decode(llama_token token, int count) {
    const double begin = now();
    for (int i = 0; i < count; i++) {
        evaluate(&token, 1);
        token = likeliest();
    }
    return count / (now() - begin);
}

// Both kinds of call, until the engine's optimising compiler has replaced the first code.
static void warm_up(std::vector<llama_token> & tokens) {
    const double begin = now();
    do {
        clear();
        evaluate(tokens.data(), std::min<int>(64, tokens.size()));
        decode(tokens[0], 2);
    } while (now() - begin < 1);
}

static void warn(ggml_log_level level, const char * text, void *) {
    if (level >= GGML_LOG_LEVEL_WARN && level != GGML_LOG_LEVEL_CONT) fputs(text, stderr);
}

int main(int, char ** argv) {
    const int threads = atoi(argv[2]), prompt = atoi(argv[3]), count = atoi(argv[4]), depth = atoi(argv[5]), samples = atoi(argv[6]);
    const double started = atof(argv[7]);
    llama_log_set(warn, nullptr);
    llama_backend_init();
    auto model_parameters = llama_model_default_params();
    model_parameters.n_gpu_layers = 0;
    model_parameters.load_mode = LLAMA_LOAD_MODE_NONE;
    llama_model * model = llama_model_load_from_file(argv[1], model_parameters);
    if (model == nullptr) return 1;
    auto parameters = llama_context_default_params();
    parameters.n_ctx = std::max(prompt, depth + samples * count) + 128;
    parameters.n_batch = parameters.n_ubatch = 512;
    parameters.n_threads = parameters.n_threads_batch = threads;
    context = llama_init_from_model(model, parameters);
    if (context == nullptr) return 2;
    vocab_size = llama_vocab_n_tokens(llama_model_get_vocab(model));
    std::vector<llama_token> tokens(std::max({16, prompt, depth}) + 1);
    for (size_t i = 0; i < tokens.size(); i++) tokens[i] = uint32_t(i + 1) * 0x9e3779b1u % vocab_size;

    double first_token = 0, prefill = 0;
    if (depth == 0) {
        evaluate(tokens.data(), 16);
        likeliest();
        first_token = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() - started / 1000;
        warm_up(tokens);
        clear();
        const double begin = now();
        evaluate(tokens.data(), prompt);
        prefill = prompt / (now() - begin);
        clear();
    }
    evaluate(tokens.data(), depth);
    printf(depth == 0 ? "{\"firstTokenSeconds\":%.4f,\"prefill\":%.3f,\"decode\":[" : "{\"firstTokenSeconds\":null,\"prefill\":null,\"decode\":[", first_token, prefill);
    for (int i = 0; i < samples; i++) printf(i == 0 ? "%.3f" : ",%.3f", decode(tokens[depth], count));
    printf("]}\n");
    return 0;
}

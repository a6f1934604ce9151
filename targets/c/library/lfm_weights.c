/*
 * The weights inside the library, where it is built with LFM_LINKED_WEIGHTS; LFM_WEIGHTS_FILE is the file's path as a string, by default
 * weights.bin in the folder of the build.
 */
#include "lfm_internal.h"

#ifdef LFM_LINKED_WEIGHTS

#if !defined(__GNUC__)
#error "linked weights need gcc or clang, whose assembler has .incbin: map the file instead"
#endif
/* Code reaches data within 2 GB. */
#if LFM_WEIGHT_BYTES > 0x70000000
#error "the weights are too large to be linked in: map the file instead"
#endif
#ifndef LFM_WEIGHTS_FILE
#define LFM_WEIGHTS_FILE "weights.bin"
#endif

#if defined(__APPLE__)
#define LFM_SECTION ".section __TEXT,__const\n"
#define LFM_LOCAL ".private_extern lfm_weights\n"
#elif defined(_WIN32)
#define LFM_SECTION ".section .rdata,\"dr\"\n"
#define LFM_LOCAL ""
#else
#define LFM_SECTION ".section .rodata\n"
#define LFM_LOCAL ".hidden lfm_weights\n"
#endif

__asm__(LFM_SECTION ".balign 64\n.globl lfm_weights\n" LFM_LOCAL "lfm_weights:\n.incbin \"" LFM_WEIGHTS_FILE "\"\n.text\n");

#endif

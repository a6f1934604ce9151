/* What differs between systems, but threads: mapped files, and what the processor can do. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64

#include "lfm_internal.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#define LFM_X86
#ifdef _MSC_VER
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(MADV_HUGEPAGE) && !defined(LFM_NO_MMAP)

void lfm_huge_pages(void *memory, size_t bytes) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)memory;
  const uintptr_t from = (begin + page - 1) / page * page, to = (begin + bytes) / page * page;
  if (from < to) madvise((void *)from, to - from, MADV_HUGEPAGE);
}

#else

void lfm_huge_pages(void *memory, size_t bytes) {
  (void)memory;
  (void)bytes;
}

#endif

/* Where a file cannot be mapped: a copy, aligned as a mapping is. */
static lfm_status lfm_file_read(lfm_file *file, const char *path) {
  FILE *stream = fopen(path, "rb");
  lfm_status status = LFM_ERROR_WEIGHTS_MISSING;
  unsigned char *held = NULL;
  if (stream == NULL) return status;
  held = malloc(LFM_WEIGHT_BYTES + 63);
  if (held != NULL) {
    unsigned char *bytes = held + (64 - (uintptr_t)held % 64) % 64;
    lfm_huge_pages(held, LFM_WEIGHT_BYTES);
    const int whole = fread(bytes, 1, LFM_WEIGHT_BYTES, stream) == LFM_WEIGHT_BYTES && fgetc(stream) == EOF;
    status = ferror(stream) ? LFM_ERROR_WEIGHTS_MISSING : whole ? LFM_OK : LFM_ERROR_WEIGHTS_SIZE;
    file->bytes = bytes;
  }
  fclose(stream);
  file->held = held;
  file->mapped = 0;
  if (status != LFM_OK) lfm_file_close(file);
  return status;
}

#if defined(LFM_NO_MMAP)

lfm_status lfm_file_open(lfm_file *file, const char *path) { return lfm_file_read(file, path); }

static void lfm_unmap(void *held) { (void)held; }

#elif defined(_WIN32)

lfm_status lfm_file_open(lfm_file *file, const char *path) {
  wchar_t wide[32768 / 8];
  HANDLE handle, mapping;
  LARGE_INTEGER size;
  lfm_status status = LFM_ERROR_WEIGHTS_MISSING;
  if (MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, (int)(sizeof wide / sizeof wide[0])) == 0) return status;
  handle = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
  if (handle == INVALID_HANDLE_VALUE) return status;
  if (GetFileSizeEx(handle, &size)) status = (uint64_t)size.QuadPart == LFM_WEIGHT_BYTES ? LFM_OK : LFM_ERROR_WEIGHTS_SIZE;
  mapping = status == LFM_OK ? CreateFileMappingW(handle, NULL, PAGE_READONLY, 0, 0, NULL) : NULL;
  file->held = mapping == NULL ? NULL : MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
  file->bytes = file->held;
  file->mapped = file->held != NULL;
  if (mapping != NULL) CloseHandle(mapping);
  CloseHandle(handle);
  return status != LFM_OK || file->mapped ? status : lfm_file_read(file, path);
}

static void lfm_unmap(void *held) { UnmapViewOfFile(held); }

#else

lfm_status lfm_file_open(lfm_file *file, const char *path) {
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat facts;
  void *held;
  if (descriptor < 0) return LFM_ERROR_WEIGHTS_MISSING;
  if (fstat(descriptor, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    close(descriptor);
    return LFM_ERROR_WEIGHTS_MISSING;
  }
  if ((uint64_t)facts.st_size != LFM_WEIGHT_BYTES) {
    close(descriptor);
    return LFM_ERROR_WEIGHTS_SIZE;
  }
  held = mmap(NULL, LFM_WEIGHT_BYTES, PROT_READ, MAP_PRIVATE, descriptor, 0);
  close(descriptor);
  if (held == MAP_FAILED) return lfm_file_read(file, path);
  /* Nothing is read ahead: the thread that reads a weight first brings it in, near itself, a huge page at a time. */
  lfm_huge_pages(held, LFM_WEIGHT_BYTES);
  file->bytes = held;
  file->held = held;
  file->mapped = 1;
  return LFM_OK;
}

static void lfm_unmap(void *held) { munmap(held, LFM_WEIGHT_BYTES); }

#endif

void lfm_file_close(lfm_file *file) {
  if (file->mapped) lfm_unmap(file->held);
  else free(file->held);
  file->bytes = NULL;
  file->held = NULL;
  file->mapped = 0;
}

#ifdef LFM_X86

static void lfm_cpuid(unsigned leaf, unsigned subleaf, unsigned out[4]) {
#ifdef _MSC_VER
  int registers[4];
  __cpuid(registers, 0);
  if ((unsigned)registers[0] < leaf) registers[0] = registers[1] = registers[2] = registers[3] = 0;
  else __cpuidex(registers, (int)leaf, (int)subleaf);
  for (int i = 0; i < 4; i++) out[i] = (unsigned)registers[i];
#else
  if (!__get_cpuid_count(leaf, subleaf, &out[0], &out[1], &out[2], &out[3])) out[0] = out[1] = out[2] = out[3] = 0;
#endif
}

/* The registers that the system saves: 0x6 AVX, 0xe6 AVX-512, 0x60000 tiles. */
static unsigned lfm_saved_registers(void) {
#ifdef _MSC_VER
  return (unsigned)_xgetbv(0);
#else
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
#endif
}

/* Linux gives a process the tile registers when it asks, before it uses them. */
static int lfm_may_use_tiles(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
  enum { request_permission = 0x1023, tile_data = 18 };
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return 1;
#endif
}

static int lfm_bits(unsigned value, unsigned bits) { return (value & bits) == bits; }

int lfm_cpu_has(unsigned features) {
  unsigned basic[4], extended[4], more[4] = {0, 0, 0, 0}, found = 0, saved;
  lfm_cpuid(1, 0, basic);
  lfm_cpuid(7, 0, extended);
  if (extended[0] >= 1) lfm_cpuid(7, 1, more);
  saved = lfm_bits(basic[2], 1u << 27) ? lfm_saved_registers() : 0;
  if (lfm_bits(saved, 0x6) && lfm_bits(basic[2], 1u << 28) && lfm_bits(extended[1], 1u << 5)) {
    found |= LFM_CPU_AVX2;
    if (lfm_bits(more[0], 1u << 4)) found |= LFM_CPU_AVX_VNNI;
    /* F, DQ, BW, VL; VNNI */
    if (lfm_bits(saved, 0xe6) && lfm_bits(extended[1], 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) && lfm_bits(extended[2], 1u << 11))
      found |= LFM_CPU_AVX512;
  }
  /* tile, int8 */
  if ((features & LFM_CPU_AMX) != 0 && lfm_bits(saved, 0x60000) && lfm_bits(extended[3], 1u << 24 | 1u << 25) && lfm_may_use_tiles())
    found |= LFM_CPU_AMX;
  return lfm_bits(found, features);
}

#elif defined(__aarch64__) && defined(__linux__)

int lfm_cpu_has(unsigned features) {
  unsigned found = 0;
  if ((getauxval(AT_HWCAP) & 1ul << 20) != 0) found |= LFM_CPU_DOTPROD;
  if ((getauxval(AT_HWCAP2) & 1ul << 13) != 0) found |= LFM_CPU_I8MM;
  return (found & features) == features;
}

#elif defined(__aarch64__) && defined(__APPLE__)

static int lfm_sysctl(const char *name) {
  int value = 0;
  size_t bytes = sizeof value;
  return sysctlbyname(name, &value, &bytes, NULL, 0) == 0 && value != 0;
}

int lfm_cpu_has(unsigned features) {
  unsigned found = 0;
  if (lfm_sysctl("hw.optional.arm.FEAT_DotProd")) found |= LFM_CPU_DOTPROD;
  if (lfm_sysctl("hw.optional.arm.FEAT_I8MM")) found |= LFM_CPU_I8MM;
  return (found & features) == features;
}

#elif defined(_M_ARM64) || (defined(__aarch64__) && defined(_WIN32))

int lfm_cpu_has(unsigned features) {
  unsigned found = 0;
  if (IsProcessorFeaturePresent(43)) found |= LFM_CPU_DOTPROD; /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */
  if (IsProcessorFeaturePresent(66)) found |= LFM_CPU_I8MM;    /* PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE */
  return (found & features) == features;
}

#else

int lfm_cpu_has(unsigned features) { return features == 0; }

#endif

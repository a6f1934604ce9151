/*
 * Runs kernels on memory images for the conformance tests: a request is a kernel's number, its arguments and the memory; the answer is the
 * memory afterwards. Linked with the emitted kernels and a generated `run_kernel`. The memory lies between pages that may not be touched.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { most_arguments = 32 };
static const size_t guard_bytes = (size_t)1 << 26;

void run_kernel(uint32_t kernel, unsigned char *memory, const int32_t *arguments);

static void read_whole(void *to, size_t bytes, FILE *from) {
  if (fread(to, 1, bytes, from) != bytes) exit(feof(from) ? 0 : 2);
}

int main(int count, char **names) {
  if (count != 4) return 2;
  const size_t bytes = (size_t)strtoull(names[3], NULL, 10);
  const size_t whole = (bytes + 4095) / 4096 * 4096;
  unsigned char *space = mmap(NULL, whole + 2 * guard_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED || mprotect(space + guard_bytes, whole, PROT_READ | PROT_WRITE) != 0) return 3;
  unsigned char *memory = space + guard_bytes;
  FILE *requests = fopen(names[1], "rb"), *answers = fopen(names[2], "wb");
  if (!requests || !answers) return 3;
  for (;;) {
    uint32_t head[2];
    int32_t arguments[most_arguments];
    read_whole(head, sizeof head, requests);
    if (head[1] > most_arguments) return 2;
    read_whole(arguments, head[1] * sizeof arguments[0], requests);
    read_whole(memory, bytes, requests);
    run_kernel(head[0], memory, arguments);
    if (fwrite(memory, 1, bytes, answers) != bytes || fflush(answers) != 0) return 3;
  }
}

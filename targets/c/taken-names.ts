/**
 * Names that a C artefact cannot have, in lower case: its header would stand before another, its files before its own, or its build targets before
 * the build system's.
 */

const projectFiles = "main build weights objects";
const buildTargets = "all clean install test package help m c edit_cache rebuild_cache";
const standardHeaders =
  "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg stdbool stddef stdint stdio stdlib string tgmath time wchar wctype";
const systemHeaders = "pthread unistd fcntl sched malloc memory features windows cpuid immintrin arm_neon";

export const takenNames: ReadonlySet<string> = new Set([projectFiles, buildTargets, standardHeaders, systemHeaders].join(" ").split(" "));

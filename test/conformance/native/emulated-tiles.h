/*
 * The tile instructions that the amx unit uses, by their definition in Intel's manual, as C functions over tiles in memory: for tests on processors
 * that have none. Included before everything else; what a unit then includes is not included again.
 */
#ifndef EMULATED_TILES_H
#define EMULATED_TILES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbsud
#define _tile_loadconfig(shapes) ((void)(shapes))
#define _tile_release() ((void)0)
#define _tile_zero emulated_zero
#define _tile_loadd emulated_loadd
#define _tile_stored emulated_stored
#define _tile_dpbsud emulated_dpbsud

/* As many rows and bytes a row as the unit's configuration gives its tiles 0, 1 and 2. */
static const int tile_rows[3] = {16, 16, 8}, tile_bytes[3] = {64, 32, 64};
static unsigned char tiles[3][16][64];

static inline void emulated_zero(int tile) { memset(tiles[tile], 0, sizeof tiles[tile]); }

static inline void emulated_loadd(int tile, const void *from, int stride) {
  memset(tiles[tile], 0, sizeof tiles[tile]);
  for (int i = 0; i < tile_rows[tile]; i++) memcpy(tiles[tile][i], (const unsigned char *)from + i * stride, (size_t)tile_bytes[tile]);
}

static inline void emulated_stored(int tile, void *to, int stride) {
  for (int i = 0; i < tile_rows[tile]; i++) memcpy((unsigned char *)to + i * stride, tiles[tile][i], (size_t)tile_bytes[tile]);
}

/* sums[m][n] += s[m][4 k + c] * u[k][4 n + c], the first signed, the second unsigned. */
static inline void emulated_dpbsud(int sums, int s, int u) {
  for (int m = 0; m < tile_rows[sums]; m++) {
    for (int k = 0; k < tile_bytes[s] / 4; k++) {
      for (int n = 0; n < tile_bytes[sums] / 4; n++) {
        int32_t sum;
        memcpy(&sum, &tiles[sums][m][4 * n], sizeof sum);
        for (int c = 0; c < 4; c++) sum += (int8_t)tiles[s][m][4 * k + c] * tiles[u][k][4 * n + c];
        memcpy(&tiles[sums][m][4 * n], &sum, sizeof sum);
      }
    }
  }
}

#endif

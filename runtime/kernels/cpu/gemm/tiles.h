// AMX tiles. With QGRAPH_AMX_EMULATED the few instructions used are written out in C++, so that the kernel's own logic can
// be tested on any machine (Intel's Software Developer's Manual, volume 2: LDTILECFG, TILELOADD, TDPBUSD, TILESTORED).
#pragma once

#include <cstdint>
#include <cstring>

namespace qgraph {

/// The 64 bytes of LDTILECFG, palette 1: rows and bytes a row of each tile.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace qgraph

#ifndef QGRAPH_AMX_EMULATED
#include <immintrin.h>
#else
namespace qgraph::emulated {

struct Tiles {
  TileConfig config;
  uint8_t data[8][16][64];
};
inline thread_local Tiles tiles;

inline void load_config(const void* from) {
  std::memset(&tiles, 0, sizeof(tiles));
  std::memcpy(&tiles.config, from, 64);
}
inline void zero(int t) { std::memset(tiles.data[t], 0, sizeof(tiles.data[t])); }
inline void load(int t, const void* base, int64_t stride) {
  zero(t);
  for (int r = 0; r < tiles.config.rows[t]; ++r)
    std::memcpy(tiles.data[t][r], static_cast<const uint8_t*>(base) + r * stride, tiles.config.row_bytes[t]);
}
inline void store(int t, void* base, int64_t stride) {
  for (int r = 0; r < tiles.config.rows[t]; ++r)
    std::memcpy(static_cast<uint8_t*>(base) + r * stride, tiles.data[t][r], tiles.config.row_bytes[t]);
}
inline void dot(int c, int a, int b) {
  for (int m = 0; m < tiles.config.rows[c]; ++m)
    for (int k = 0; k < tiles.config.row_bytes[a] / 4; ++k)
      for (int n = 0; n < tiles.config.row_bytes[c] / 4; ++n) {
        uint32_t sum;
        std::memcpy(&sum, &tiles.data[c][m][4 * n], 4);
        for (int i = 0; i < 4; ++i)
          sum += static_cast<uint32_t>(tiles.data[a][m][4 * k + i] * static_cast<int8_t>(tiles.data[b][k][4 * n + i]));
        std::memcpy(&tiles.data[c][m][4 * n], &sum, 4);
      }
}

}  // namespace qgraph::emulated
#define _tile_loadconfig(from) ::qgraph::emulated::load_config(from)
#define _tile_release() ((void)0)
#define _tile_zero(t) ::qgraph::emulated::zero(t)
#define _tile_loadd(t, base, stride) ::qgraph::emulated::load(t, base, stride)
#define _tile_stored(t, base, stride) ::qgraph::emulated::store(t, base, stride)
#define _tile_dpbusd(c, a, b) ::qgraph::emulated::dot(c, a, b)
#endif

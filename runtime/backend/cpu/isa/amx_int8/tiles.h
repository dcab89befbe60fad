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

// The instructions by themselves: GCC's intrinsics do not tell the compiler which memory a tile is loaded from, so that it may
// leave out what was written there just before.
#ifndef QGRAPH_AMX_EMULATED
namespace qgraph::hardware {

inline void configure(const TileConfig& config) { asm volatile("ldtilecfg %0" ::"m"(config)); }
inline void release() { asm volatile("tilerelease"); }
template <int T>
void zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(T));
}
template <int T>
void load(const void* base, int64_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(T), "r"(base), "r"(stride) : "memory");
}
template <int T>
void store(void* base, int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(T), "r"(base), "r"(stride) : "memory");
}
/// Tile C += tile A (uint8) times tile B (int8).
template <int C, int A, int B>
void dot() {
  asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}

}  // namespace qgraph::hardware
namespace qgraph {
namespace tiles = hardware;
}
#else
namespace qgraph::emulated {

struct State {
  TileConfig config;
  uint8_t data[8][16][64];
};
inline thread_local State state;

inline void configure(const TileConfig& config) {
  std::memset(&state, 0, sizeof(state));
  state.config = config;
}
inline void release() { std::memset(&state, 0, sizeof(state)); }
template <int T>
void zero() {
  std::memset(state.data[T], 0, sizeof(state.data[T]));
}
template <int T>
void load(const void* base, int64_t stride) {
  zero<T>();
  for (int r = 0; r < state.config.rows[T]; ++r)
    std::memcpy(state.data[T][r], static_cast<const uint8_t*>(base) + r * stride, state.config.row_bytes[T]);
}
template <int T>
void store(void* base, int64_t stride) {
  for (int r = 0; r < state.config.rows[T]; ++r)
    std::memcpy(static_cast<uint8_t*>(base) + r * stride, state.data[T][r], state.config.row_bytes[T]);
}
template <int C, int A, int B>
void dot() {
  for (int m = 0; m < state.config.rows[C]; ++m)
    for (int k = 0; k < state.config.row_bytes[A] / 4; ++k)
      for (int n = 0; n < state.config.row_bytes[C] / 4; ++n) {
        uint32_t sum;
        std::memcpy(&sum, &state.data[C][m][4 * n], 4);
        for (int i = 0; i < 4; ++i)
          sum += static_cast<uint32_t>(state.data[A][m][4 * k + i] * static_cast<int8_t>(state.data[B][k][4 * n + i]));
        std::memcpy(&state.data[C][m][4 * n], &sum, 4);
      }
}

}  // namespace qgraph::emulated
namespace qgraph {
namespace tiles = emulated;
}
#endif

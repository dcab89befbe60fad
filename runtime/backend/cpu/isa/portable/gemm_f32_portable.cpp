#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "backend/cpu/isa/gemm_f32.h"

namespace qgraph::portable {
namespace {

struct Floats {
  static constexpr int kCount = 16;
  struct Vector {
    float x[kCount];
  };
  template <int kStride>
  struct Lanes {
    Lanes() = default;
    Lanes(int first, int n) : from(first), count(n) {}
    int from, count;
  };
  using Mask = Lanes<1>;
  using EvenMask = Lanes<2>;
  static Vector zero() { return all(0); }
  static Vector all(float x) {
    return each([=](int) { return x; });
  }
  static Vector load(const float* p) {
    return each([=](int i) { return p[i]; });
  }
  static Vector load_some(const float* p, int64_t n) { return merge(zero(), Mask(0, static_cast<int>(n)), p); }
  static void store(float* p, const Vector& x) { std::memcpy(p, x.x, sizeof(x.x)); }
  static void store_some(float* p, const Vector& x, int64_t n) { std::memcpy(p, x.x, static_cast<size_t>(n) * sizeof(float)); }
  static Vector fma(const Vector& a, const Vector& b, const Vector& c) {
    return each([&](int i) { return std::fma(a.x[i], b.x[i], c.x[i]); });
  }
  static Vector add(const Vector& a, const Vector& b) {
    return each([&](int i) { return a.x[i] + b.x[i]; });
  }
  static Vector mul(const Vector& a, const Vector& b) {
    return each([&](int i) { return a.x[i] * b.x[i]; });
  }
  static Vector clamp(const Vector& t, const Vector& low, const Vector& high) {
    return each([&](int i) {
      const float x = low.x[i] > t.x[i] ? low.x[i] : t.x[i];
      return high.x[i] < x ? high.x[i] : x;
    });
  }
  template <int kStride>
  static Vector merge(Vector x, Lanes<kStride> m, const float* p) {
    for (int i = m.from; i < m.from + m.count; ++i) x.x[i] = p[i * kStride];
    return x;
  }

 private:
  template <typename F>
  static Vector each(F&& f) {
    Vector made;
    for (int i = 0; i < kCount; ++i) made.x[i] = f(i);
    return made;
  }
};

constexpr int kMostPanels[] = {0, 1, 1, 1, 1};

}  // namespace
#include "backend/cpu/isa/gemm_f32.inc"
}  // namespace qgraph::portable

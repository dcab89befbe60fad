// Where each element of a resized axis lies in the input. Coordinates are float32.
#pragma once

#include <algorithm>
#include <cmath>

#include "ops/dialect_generated.h"
#include "qgraph/runtime.h"

namespace qgraph::ops {

/// An axis that a Resize changes: old and new length, and the part of it from `first` to `last` that TfCropAndResize shows.
struct ResizedAxis {
  size_t axis = 0;
  int64_t size = 1, out_size = 1;
  float scale = 1, first = 0, last = 1;

  float place(dialect::ResizeCoordinates how, int64_t o) const {
    const auto x = static_cast<float>(o), n = static_cast<float>(size), m = static_cast<float>(out_size);
    switch (how) {
      case dialect::ResizeCoordinates::Asymmetric:
        return x / scale;
      case dialect::ResizeCoordinates::AlignCorners:
        return out_size == 1 ? 0.0f : x * (n - 1) / (m - 1);
      case dialect::ResizeCoordinates::PytorchHalfPixel:
        return out_size == 1 ? 0.0f : (x + 0.5f) / scale - 0.5f;
      case dialect::ResizeCoordinates::HalfPixelSymmetric: {
        const float offset = n / 2 * (1 - m / (scale * n));
        return static_cast<float>(static_cast<double>(offset) + (static_cast<double>(x) + 0.5) / static_cast<double>(scale) -
                                  0.5);
      }
      case dialect::ResizeCoordinates::TfCropAndResize:
        return out_size == 1 ? 0.5f * (first + last) * (n - 1) : first * (n - 1) + x * (last - first) * (n - 1) / (m - 1);
      case dialect::ResizeCoordinates::HalfPixel:
        break;
    }
    return (x + 0.5f) / scale - 0.5f;
  }

  /// The element next to the place s.
  int64_t nearest(dialect::ResizeNearest how, float s) const {
    const float low = std::floor(s), part = s - low;
    const bool half = std::fabs(part - 0.5f) < 1e-6f;
    bool up = false;
    switch (how) {
      case dialect::ResizeNearest::RoundPreferFloor:
        up = part > 0.5f && !half;
        break;
      case dialect::ResizeNearest::RoundPreferCeil:
        up = part > 0.5f || half;
        break;
      case dialect::ResizeNearest::Floor:
        break;
      case dialect::ResizeNearest::Ceil:
        up = part > 0;
        break;
    }
    const float end = static_cast<float>(size - 1), at = low + static_cast<float>(up);
    return at >= end ? size - 1 : at > 0 ? static_cast<int64_t>(at) : 0;
  }
};

}  // namespace qgraph::ops

// A small program that uses most kinds of ops, for tests and fuzzing.
#pragma once

#include <cstdint>
#include <string>

namespace qgraph {

constexpr int64_t kSampleWidth = 16;
constexpr int64_t kSampleOutputs = 5;

void write_sample(const std::string& path);

/// A program whose shapes follow from the data, with an If, a Loop and a Scan: inputs x float32 [batch] and past float32 [1,
/// old], outputs present float32 [1, new], which can be bound to past, and others.
void write_control_sample(const std::string& path);

}  // namespace qgraph

// A small program that uses most kinds of ops, for tests and fuzzing.
#pragma once

#include <cstdint>
#include <string>

namespace qgraph {

constexpr int64_t kSampleWidth = 16;
constexpr int64_t kSampleOutputs = 5;

void write_sample(const std::string& path);

}  // namespace qgraph

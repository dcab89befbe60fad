// What a program file holds, for tools that show it.
#pragma once

#include <list>

#include "tooling/write.h"

namespace qgraph {

/// A program as it would be given to write_program, its constants dense; `bytes` holds what `spec` points to.
struct ProgramContents {
  ProgramSpec spec;
  std::list<std::vector<uint8_t>> bytes;
};

/// Throws Error where the file cannot be loaded.
ProgramContents read_program(const std::string& path);

}  // namespace qgraph

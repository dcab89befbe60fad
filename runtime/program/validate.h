// Checks of a program file, which is not trusted: whatever passes them can be executed without reading outside of the file.
#pragma once

#include "program/tables.h"

namespace qgraph {

[[noreturn]] void damaged(const std::string& path, const std::string& why);

/// The tables of the file at `data`; throws Error, with `path` in it, at the first thing that is wrong.
ProgramTables read_tables(const std::string& path, const uint8_t* data, size_t size);

}  // namespace qgraph

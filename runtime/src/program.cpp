#include "program.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

namespace qgraph {
namespace {

[[noreturn]] void damaged(const std::string& path, const std::string& why) {
  throw Error("cannot load " + path + ": " + why + "; compile the program again");
}

// Elements of a bitmap and what follows it, packed; false where the sizes do not fit.
bool expand_bitmap(const uint8_t* from, uint64_t size, int64_t n, int width, std::vector<uint8_t>& to) {
  const uint64_t map = (static_cast<uint64_t>(n) + 7) / 8;
  if (size < map) return false;
  uint64_t count = 0;
  for (uint64_t i = 0; i < map; ++i) count += static_cast<uint64_t>(__builtin_popcount(from[i]));
  if (n % 8 != 0 && from[map - 1] >> (n % 8) != 0) return false;
  const auto w = static_cast<uint64_t>(width);
  if (size != map + (count * w + 7) / 8) return false;
  to.assign((static_cast<uint64_t>(n) * w + 7) / 8 + 1, 0);  // one byte more: an empty constant has an address too
  const int mask = (1 << width) - 1;
  uint64_t next = 0;
  for (int64_t i = 0; i < n; ++i) {
    if ((from[i / 8] >> (i % 8) & 1) == 0) continue;
    const uint64_t source = next++ * w, target = static_cast<uint64_t>(i) * w;
    const int code = from[map + source / 8] >> (source % 8) & mask;
    to[target / 8] = static_cast<uint8_t>(to[target / 8] | code << (target % 8));
  }
  return true;
}

// Elements of groups with a few codes each (see the schema); false where the sizes do not fit.
bool expand_groups(const uint8_t* from, uint64_t size, int64_t n, int width, std::vector<uint8_t>& to) {
  if (size < 2) return false;
  const int kept = from[0], length = from[1];
  if (length < 2 || length > 8 || kept < 1 || kept >= length || n % length != 0) return false;
  std::vector<int> masks;
  for (int mask = 0; mask < 1 << length; ++mask)
    if (__builtin_popcount(static_cast<unsigned>(mask)) == kept) masks.push_back(mask);
  int rank_bits = 1;
  while ((size_t{1} << rank_bits) < masks.size()) ++rank_bits;
  const auto groups = static_cast<uint64_t>(n / length), w = static_cast<uint64_t>(width), b = static_cast<uint64_t>(rank_bits);
  const uint64_t ranks = (groups * b + 7) / 8, codes = (groups * static_cast<uint64_t>(kept) * w + 7) / 8;
  if (size != 2 + ranks + codes) return false;
  to.assign((static_cast<uint64_t>(n) * w + 7) / 8 + 1, 0);
  const auto field = [](const uint8_t* bytes, uint64_t bit, uint64_t count, uint64_t end) {
    uint64_t value = bytes[bit / 8];
    if (bit / 8 + 1 < end) value |= uint64_t{bytes[bit / 8 + 1]} << 8;
    return static_cast<int>(value >> (bit % 8) & ((uint64_t{1} << count) - 1));
  };
  uint64_t next = 0;
  for (uint64_t g = 0; g < groups; ++g) {
    const auto rank = static_cast<size_t>(field(from + 2, g * b, b, ranks));
    if (rank >= masks.size()) return false;
    for (int i = 0; i < length; ++i) {
      if ((masks[rank] >> i & 1) == 0) continue;
      const int code = field(from + 2 + ranks, next++ * w, w, codes);
      const uint64_t target = (g * static_cast<uint64_t>(length) + static_cast<uint64_t>(i)) * w;
      to[target / 8] = static_cast<uint8_t>(to[target / 8] | code << (target % 8));
    }
  }
  return true;
}

}  // namespace

std::vector<int64_t> numbers(const flatbuffers::Vector<int64_t>* v) {
  std::vector<int64_t> out(v == nullptr ? 0 : v->size());
  if (!out.empty()) std::memcpy(out.data(), v->Data(), out.size() * sizeof(int64_t));
  return out;
}

std::string text(const flatbuffers::String* s) { return s == nullptr ? std::string() : s->str(); }

const char* name(DType type) {
  static const char* const names[] = {"float32", "int64", "int32", "int16", "int8", "uint8",
                                      "bool",    "int4",  "int2",  "uint4", "uint2"};
  return names[static_cast<int>(type)];
}

int64_t elements(const Shape& shape) {
  int64_t n = 1;
  for (int64_t d : shape) {
    if (d < 0 || __builtin_mul_overflow(n, d, &n) || n > (int64_t{1} << 46)) throw Error("a tensor is too large");
  }
  return n;
}

MappedFile::MappedFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw Error("cannot load " + path + ": " + std::strerror(errno));
  struct stat info{};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    throw Error("cannot load " + path + ": it is not a file");
  }
  size_ = static_cast<size_t>(info.st_size);
  void* mapped = size_ == 0 ? MAP_FAILED : mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (mapped == MAP_FAILED) damaged(path, "it is empty or cannot be mapped");
  data_ = static_cast<const uint8_t*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

Program::Program(const std::string& path) : path_(path), file_(path) {
  const uint8_t* data = file_.data();
  if (file_.size() < 16 || !schema::ProgramBufferHasIdentifier(data)) damaged(path, "it is not a qgraph program");
  constexpr size_t kLimit = FLATBUFFERS_MAX_BUFFER_SIZE;
  flatbuffers::Verifier verifier(data, std::min(file_.size(), kLimit), 64, 50'000'000);
  if (!schema::VerifyProgramBuffer(verifier)) damaged(path, "it is cut short or damaged");
  const schema::Program* program = schema::GetProgram(data);
  if (program->version() != kProgramVersion)
    damaged(path, "it is of version " + std::to_string(program->version()) + ", this runtime reads version " +
                      std::to_string(kProgramVersion));
  if (program->file_size() != file_.size()) damaged(path, "it is cut short");
  const uint64_t weights = program->weights_offset();
  if (weights > file_.size() || weights % 64 != 0) damaged(path, "its weights lie outside the file");
  const uint64_t room = file_.size() - weights;
  if (!program->tensors() || !program->ops() || !program->inputs() || !program->outputs()) damaged(path, "a table is missing");

  for (const auto* t : *program->tensors()) {
    TensorInfo info;
    info.name = text(t->name());
    if (t->type() < schema::Type::MIN || t->type() > schema::Type::MAX) damaged(path, "a tensor has an unknown type");
    info.type = static_cast<DType>(t->type());
    info.shape = numbers(t->shape());
    if (info.shape.size() > kMaxRank) damaged(path, "tensor '" + info.name + "' has more than 8 dims");
    if (t->symbols())
      for (const auto* s : *t->symbols()) info.symbols.push_back(text(s));
    if (t->constant()) {
      int64_t n = 0;
      for (int64_t d : info.shape)
        if (d < 0 || d > (int64_t{1} << 40)) damaged(path, "constant '" + info.name + "' has a bad shape");
      n = elements(info.shape);
      const uint64_t bytes = (static_cast<uint64_t>(n) * bits(info.type) + 7) / 8;
      const bool dense = t->encoding() == schema::Encoding::Dense;
      if ((dense && t->size() != bytes) || t->offset() > room || t->size() > room - t->offset() || t->offset() % 64 != 0)
        damaged(path, "constant '" + info.name + "' lies outside the file");
      info.data = data + weights + t->offset();
      info.bytes = bytes;
      if (!dense) {
        const bool codes = info.type == DType::I8 || info.type == DType::I4 || info.type == DType::I2;
        if ((t->encoding() != schema::Encoding::Bitmap && t->encoding() != schema::Encoding::Groups) || !codes)
          damaged(path, "constant '" + info.name + "' has an unknown encoding");
        info.encoded = static_cast<int>(encoded_.size());
        encoded_.push_back({static_cast<int>(t->encoding()), info.data, t->size(), {}});
      }
      weight_bytes_ += bytes;
    } else {
      for (int64_t d : info.shape)
        if (d < -1) damaged(path, "tensor '" + info.name + "' has a bad shape");
    }
    tensors_.push_back(std::move(info));
  }
  const int count = static_cast<int>(tensors_.size());
  std::vector<bool> written(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) written[i] = tensors_[i].data != nullptr || tensors_[i].bytes != 0;
  for (size_t i = 0; i < tensors_.size(); ++i)
    if ((*program->tensors())[static_cast<flatbuffers::uoffset_t>(i)]->constant()) written[i] = true;
  for (int i : *program->inputs()) {
    if (i < 0 || i >= count || written[static_cast<size_t>(i)]) damaged(path, "an input is out of range");
    if (bits(tensors_[static_cast<size_t>(i)].type) < 8) damaged(path, "an input has a packed type");
    written[static_cast<size_t>(i)] = true;
    inputs_.push_back(i);
  }
  for (const auto* op : *program->ops()) {
    OpInfo info;
    info.kind = text(op->kind());
    info.name = text(op->name());
    info.raw = op;
    if (op->inputs())
      for (int i : *op->inputs()) {
        if (i < -1 || i >= count || (i >= 0 && !written[static_cast<size_t>(i)]))
          damaged(path, info.what() + " reads a tensor that is not there");
        info.inputs.push_back(i);
      }
    if (op->outputs())
      for (int i : *op->outputs()) {
        if (i < 0 || i >= count || written[static_cast<size_t>(i)] || bits(tensors_[static_cast<size_t>(i)].type) < 8)
          damaged(path, info.what() + " writes a tensor that it may not");
        written[static_cast<size_t>(i)] = true;
        info.outputs.push_back(i);
      }
    if (info.outputs.empty()) damaged(path, info.what() + " has no output");
    ops_.push_back(std::move(info));
  }
  for (int i : *program->outputs()) {
    if (i < 0 || i >= count || !written[static_cast<size_t>(i)]) damaged(path, "an output is never written");
    outputs_.push_back(i);
  }
  if (program->metadata())
    for (const auto* e : *program->metadata()) metadata_.emplace_back(text(e->key()), text(e->value()));
}

void Program::expand(int tensor) {
  if (tensor < 0 || tensors_[static_cast<size_t>(tensor)].encoded < 0) return;
  TensorInfo& t = tensors_[static_cast<size_t>(tensor)];
  Encoded& e = encoded_[static_cast<size_t>(t.encoded)];
  if (!e.expanded.empty()) return;
  const auto run = e.encoding == static_cast<int>(schema::Encoding::Bitmap) ? expand_bitmap : expand_groups;
  if (!run(e.data, e.size, elements(t.shape), bits(t.type), e.expanded))
    damaged(path_, "the encoding of constant '" + t.name + "' does not fit its elements");
  t.data = e.expanded.data();
}

void Program::release(int tensor) {
  if (tensor < 0 || tensors_[static_cast<size_t>(tensor)].data == nullptr) return;
  TensorInfo& t = tensors_[static_cast<size_t>(tensor)];
  if (t.encoded >= 0) {
    Encoded& e = encoded_[static_cast<size_t>(t.encoded)];
    std::vector<uint8_t>().swap(e.expanded);
    t.data = e.data;
    return;
  }
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto from = (reinterpret_cast<uintptr_t>(t.data) + page - 1) / page * page;
  const auto to = (reinterpret_cast<uintptr_t>(t.data) + t.bytes) / page * page;
  if (to > from) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

Attributes::Attributes(const schema::Op* op, std::string what) : what_(std::move(what)) {
  if (op->attributes())
    for (const auto* a : *op->attributes()) found_[text(a->name())] = a;
}

std::vector<int64_t> Attributes::integers(const char* name) const {
  auto it = found_.find(name);
  return it == found_.end() ? std::vector<int64_t>() : numbers(it->second->ints());
}

int64_t Attributes::integer(const char* name) const {
  const auto values = integers(name);
  if (values.size() != 1) throw Error(what_ + " has no attribute '" + name + "'; compile the program again");
  return values[0];
}

int64_t Attributes::integer(const char* name, int64_t otherwise, int64_t low, int64_t high) const {
  const int64_t value = has(name) ? integer(name) : otherwise;
  if (value < low || value > high) throw Error(what_ + ": attribute '" + name + "' is out of range; compile the program again");
  return value;
}

float Attributes::number(const char* name) const {
  auto it = found_.find(name);
  if (it == found_.end() || !it->second->floats() || it->second->floats()->size() != 1)
    throw Error(what_ + " has no attribute '" + name + "'; compile the program again");
  const float value = it->second->floats()->Get(0);
  if (!std::isfinite(value)) throw Error(what_ + ": attribute '" + name + "' is not finite; compile the program again");
  return value;
}

float Attributes::number(const char* name, float otherwise) const { return has(name) ? number(name) : otherwise; }

}  // namespace qgraph

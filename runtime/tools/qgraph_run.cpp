// qgraph-run: run and time a program without Python. Inputs are raw little-endian files, or random when none are given.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "qgraph/runtime.h"

namespace {

const char* const kHelp =
    "usage: qgraph-run PROGRAM.qgp [options]\n"
    "  --shape NAME=2,128    shape of an input (free dims are 1 otherwise)\n"
    "  --input NAME=FILE     raw little-endian data of an input (random small numbers otherwise)\n"
    "  --bind OUTPUT=INPUT   the input is what the output was in the run before; first --input, else zeros (may be repeated)\n"
    "  --output FOLDER       write every output there as NAME.bin\n"
    "  --threads N --isa NAME --runs N --profile\n";

std::pair<std::string, std::string> split(const std::string& text) {
  const auto at = text.find('=');
  if (at == std::string::npos) throw qgraph::Error("'" + text + "' is not of the form NAME=VALUE");
  return {text.substr(0, at), text.substr(at + 1)};
}

qgraph::Shape parse_shape(const std::string& text) {
  qgraph::Shape shape;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) shape.push_back(std::stoll(part));
  return shape;
}

int work(int argc, char** argv) {
  qgraph::SessionOptions options;
  std::string path, folder;
  std::map<std::string, qgraph::Shape> shapes;
  std::map<std::string, std::string> files, bound;  // bound: input -> output
  int runs = 10;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    auto next = [&]() -> std::string {
      if (i + 1 >= argc) throw qgraph::Error(arg + " needs a value");
      return argv[++i];
    };
    if (arg == "--help" || arg == "-h") {
      std::fputs(kHelp, stdout);
      return 0;
    }
    if (arg == "--shape") {
      auto [name, value] = split(next());
      shapes[name] = parse_shape(value);
    } else if (arg == "--input") {
      auto [name, value] = split(next());
      files[name] = value;
    } else if (arg == "--bind") {
      auto [output, input] = split(next());
      bound[input] = output;
    } else if (arg == "--output") {
      folder = next();
    } else if (arg == "--threads") {
      options.threads = std::stoi(next());
    } else if (arg == "--isa") {
      options.isa = next();
    } else if (arg == "--runs") {
      runs = std::max(1, std::stoi(next()));
    } else if (arg == "--profile") {
      options.profile = true;
    } else if (arg.rfind("--", 0) == 0) {
      throw qgraph::Error("unknown option " + arg + "; see qgraph-run --help");
    } else {
      path = arg;
    }
  }
  if (path.empty()) {
    std::fputs(kHelp, stderr);
    return 2;
  }
  qgraph::Session session(path, options);
  for (const auto& [input, output] : bound) session.bind(output, input);
  std::vector<std::vector<char>> data;
  std::vector<qgraph::Array> arrays;
  std::mt19937 random(0);
  for (const auto& input : session.inputs()) {
    if (bound.count(input.name) && !files.count(input.name)) {
      arrays.push_back({input.type, {}, nullptr});
      data.emplace_back();
      continue;
    }
    qgraph::Shape shape = shapes.count(input.name) ? shapes[input.name] : input.shape;
    for (auto& d : shape) d = d < 0 ? 1 : d;
    const auto count = static_cast<size_t>(qgraph::elements(shape));
    std::vector<char> bytes(count * static_cast<size_t>(qgraph::bits(input.type) / 8));
    if (files.count(input.name)) {
      std::ifstream file(files[input.name], std::ios::binary);
      if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size())) || file.peek() != EOF)
        throw qgraph::Error("cannot read " + std::to_string(bytes.size()) + " bytes for input '" + input.name + "' from " +
                            files[input.name]);
    } else if (input.type == qgraph::DType::F32) {
      std::normal_distribution<float> normal;
      for (size_t k = 0; k < count; ++k) {
        const float v = normal(random);
        std::memcpy(bytes.data() + 4 * k, &v, 4);
      }
    } else {
      for (size_t k = 0; k < count; ++k) bytes[k * static_cast<size_t>(qgraph::bits(input.type) / 8)] = 1;
    }
    data.push_back(std::move(bytes));
    arrays.push_back({input.type, shape, data.back().data()});
  }
  std::vector<double> times;
  std::vector<qgraph::Array> outputs;
  for (int i = 0; i <= runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    outputs = session.run(arrays);
    for (size_t k = 0; k < arrays.size(); ++k)
      if (bound.count(session.inputs()[k].name)) arrays[k].data = nullptr;
    if (i > 0) times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  std::printf("%s: isa %s, %d threads, weights %.2f MB, arena %.2f MB\n", path.c_str(), session.isa().c_str(), session.threads(),
              static_cast<double>(session.weight_bytes()) / 1e6, static_cast<double>(session.arena_bytes()) / 1e6);
  std::printf("median %.3f ms, fastest %.3f ms of %d runs\n", (times[(times.size() - 1) / 2] + times[times.size() / 2]) / 2,
              times[0], runs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto& sig = session.outputs()[i];
    const size_t bytes =
        static_cast<size_t>(qgraph::elements(outputs[i].shape)) * static_cast<size_t>(qgraph::bits(outputs[i].type) / 8);
    std::printf("output %s: %s, %zu bytes\n", sig.name.c_str(), qgraph::name(outputs[i].type), bytes);
    if (!folder.empty()) {
      std::ofstream file(folder + "/" + sig.name + ".bin", std::ios::binary);
      if (!file.write(static_cast<const char*>(outputs[i].data), static_cast<std::streamsize>(bytes)))
        throw qgraph::Error("cannot write to " + folder);
    }
  }
  if (options.profile) {
    auto rows = session.profile();
    std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
    for (const auto& row : rows)
      if (row.calls > 0)
        std::printf("%9.3f ms  %-18s %s\n", row.seconds * 1e3 / static_cast<double>(row.calls), row.kind.c_str(),
                    row.name.c_str());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return work(argc, argv);
  } catch (const qgraph::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}

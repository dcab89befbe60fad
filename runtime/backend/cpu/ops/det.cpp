// Det.
#include "ops/det.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/ops/kernel.h"

namespace qgraph::cpu {
namespace {

/// Gaussian elimination in double, with the first of the largest elements of a column as pivot.
class DetKernel : public CpuKernel {
 public:
  DetKernel(const ops::Det& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}
  size_t prepare(const Values&) override { return static_cast<size_t>(op_.n * op_.n) * sizeof(double); }

  void compute(const Context& c) override {
    const int64_t n = op_.n;
    c.pool->parallel(c.out[0]->size(), 1 + 4096 / (n * n * n + 1), [&](int64_t begin, int64_t end, int worker) {
      auto* a = reinterpret_cast<double*>(c.worker_scratch(worker));
      for (int64_t i = begin; i < end; ++i) {
        std::copy_n(c.in[0]->as<float>() + i * n * n, n * n, a);
        c.out[0]->as<float>()[i] = static_cast<float>(determinant(a, n));
      }
    });
  }

 private:
  static double determinant(double* a, int64_t n) {
    double product = 1;
    for (int64_t k = 0; k < n; ++k) {
      int64_t pivot = k;
      for (int64_t r = k + 1; r < n; ++r)
        if (std::fabs(a[r * n + k]) > std::fabs(a[pivot * n + k])) pivot = r;
      if (pivot != k) {
        std::swap_ranges(a + k * n, a + (k + 1) * n, a + pivot * n);
        product = -product;
      }
      const double head = a[k * n + k];
      product = product * head;
      if (head == 0) return product;
      for (int64_t r = k + 1; r < n; ++r) {
        const double factor = a[r * n + k] / head;
        for (int64_t j = k + 1; j < n; ++j) a[r * n + j] = a[r * n + j] - factor * a[k * n + j];
      }
    }
    return product;
  }

  const ops::Det& op_;
};

}  // namespace

void add_det_kernels(KernelTable& table) { table.emplace_back("Det", make<DetKernel, ops::Det>); }

}  // namespace qgraph::cpu

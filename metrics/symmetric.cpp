#include "metrics/symmetric.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

extern "C" void dsyevd_(const char* jobz, const char* uplo, const blasint* n, double* a, const blasint* lda, double* w,
                        double* work, const blasint* lwork, blasint* iwork, const blasint* liwork, blasint* info);

namespace terrace {
namespace {

enum class Vectors : bool { kNo, kYes };

blasint narrow(int64_t n) {
  if (n > std::numeric_limits<blasint>::max()) {
    throw ShapeError(cat("symmetric: an extent of ", n, " is too large"));
  }
  return static_cast<blasint>(n);
}

void check_square(const Tensor& a, const char* op) {
  check_dtype(a, DType::kF64, op, "a");
  check_ndim(a, 2, op, "a");
  check_shape(a, {a.dim(0), a.dim(0)}, op, "a");
  const Tensor values = a.contiguous();
  const double* p = values.data<double>();
  if (!std::all_of(p, p + values.numel(), [](double v) { return std::isfinite(v); })) {
    throw Error(cat(op, ": a holds values that are not finite"));
  }
}

/// LAPACK is column-major: its upper triangle is our lower one, and the eigenvectors in its columns are our rows.
SymmetricEigen solve(const Tensor& a, Vectors vectors, const char* op) {
  check_square(a, op);
  const int64_t size = a.dim(0);
  SymmetricEigen result{.values = Tensor::zeros({size}, DType::kF64), .vectors = a.clone()};
  if (size == 0) { return result; }
  const char job = vectors == Vectors::kYes ? 'V' : 'N', triangle = 'U';
  const blasint n = narrow(size);
  double* matrix = result.vectors.data<double>();
  double* values = result.values.data<double>();
  blasint info = 0, asked = -1;
  double best_work = 0;
  blasint best_integers = 0;
  dsyevd_(&job, &triangle, &n, matrix, &n, values, &best_work, &asked, &best_integers, &asked, &info);
  std::vector<double> work(static_cast<size_t>(best_work));
  std::vector<blasint> integers(static_cast<size_t>(best_integers));
  const blasint work_size = narrow(static_cast<int64_t>(work.size()));
  dsyevd_(&job, &triangle, &n, matrix, &n, values, work.data(), &work_size, integers.data(), &best_integers, &info);
  if (info != 0) { throw Error(cat(op, ": LAPACK's dsyevd does not converge (info ", info, ")")); }
  return result;
}

}  // namespace

SymmetricEigen symmetric_eigen(const Tensor& a) { return solve(a, Vectors::kYes, "symmetric_eigen"); }

Tensor symmetric_eigenvalues(const Tensor& a) { return solve(a, Vectors::kNo, "symmetric_eigenvalues").values; }

void add_gram_lower(const double* x, int64_t rows, int64_t n, double* sum) {
  if (rows == 0) { return; }
  cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, narrow(n), narrow(rows), 1.0, x, narrow(n), 1.0, sum, narrow(n));
}

void add_outer_lower(const double* v, double scale, int64_t n, double* sum) {
  cblas_dsyr(CblasRowMajor, CblasLower, narrow(n), scale, v, 1, sum, narrow(n));
}

void mirror_lower(double* a, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) { a[j * n + i] = a[i * n + j]; }
  }
}

}  // namespace terrace

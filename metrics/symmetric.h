// Dense symmetric matrices in f64, over OpenBLAS: its rank update and LAPACK's eigenvalues.
#pragma once

#include "tensor/tensor.h"

namespace terrace {

/// a = vectors^T diag(values) vectors: eigenvalues ascending, eigenvectors in the rows, orthonormal.
struct SymmetricEigen {
  Tensor values;   // f64 (n)
  Tensor vectors;  // f64 (n, n)
};

/// Eigenvalues and eigenvectors of a symmetric f64 (n, n); its lower triangle is what is read. Divide and conquer
/// (dsyevd). Throws ShapeError, DTypeError; Error where a value is not finite or the iteration does not converge.
SymmetricEigen symmetric_eigen(const Tensor& a);
/// The eigenvalues alone, f64 (n), ascending.
Tensor symmetric_eigenvalues(const Tensor& a);

/// Adds x^T x of x, f64 (rows, n) row-major, to the lower triangle of `sum`, f64 (n, n) (dsyrk).
void add_gram_lower(const double* x, int64_t rows, int64_t n, double* sum);
/// Adds scale * v v^T to the lower triangle (dsyr).
void add_outer_lower(const double* v, double scale, int64_t n, double* sum);
/// Copies the lower triangle to the upper one.
void mirror_lower(double* a, int64_t n);

}  // namespace terrace

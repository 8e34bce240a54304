// The Frechet distance of two Gaussians (Dowson and Landau 1982), which on Inception features is FID (Heusel et al.
// 2017):  |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^1/2.
#pragma once

#include "metrics/moments.h"

namespace terrace {

/// The distance to one reference, whose decomposition is computed once.
///
/// tr (S1 S2)^1/2 is the sum of the roots of the eigenvalues of S1^1/2 S2 S1^1/2, which is symmetric: no complex roots,
/// nothing added to diagonals, right for singular covariances. With S1 = V^T diag(w) V that matrix has the eigenvalues
/// of T S2 T^T, T = diag(w)^1/2 V, of which the rows whose w is rounding alone are left out. N samples span N - 1
/// directions: where N is known, the eigenvalues beyond as many are rounding and do not count, which makes the distance
/// of few samples right to ten digits and more where a general square root of the matrix has six; those below zero
/// never count. Agrees with scipy.linalg.sqrtm where that is well conditioned (1e-13 relative on the fixture).
class FrechetReference {
 public:
  /// Throws ShapeError, DTypeError; Error where a value is not finite.
  explicit FrechetReference(const Gaussian& reference);

  double distance(const Gaussian& other) const;

 private:
  Gaussian reference_;
  Tensor root_;  // T, f64 (rank, d)
};

double frechet_distance(const Gaussian& a, const Gaussian& b);

}  // namespace terrace

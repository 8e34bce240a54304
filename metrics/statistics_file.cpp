#include "metrics/statistics_file.h"

#include <algorithm>
#include <cmath>

#include "data/files/mapped_file.h"
#include "data/formats/npz.h"
#include "data/formats/open_tensor_file.h"
#include "data/formats/zip_archive.h"

namespace terrace {
namespace {

void check_symmetric(const Tensor& sigma, const std::string& where) {
  const int64_t d = sigma.dim(0);
  const double* p = sigma.data<double>();
  double largest = 0;
  for (int64_t i = 0; i < d; ++i) { largest = std::max(largest, std::abs(p[i * d + i])); }
  for (int64_t i = 0; i < d; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      if (std::abs(p[i * d + j] - p[j * d + i]) > 1e-6 * largest) {
        throw IoError(cat(where, " is not symmetric: elements (", i, ", ", j, ") and (", j, ", ", i, ") are ",
                          p[i * d + j], " and ", p[j * d + i]));
      }
    }
  }
}

Gaussian read_gaussian(const TensorFile& file, const std::string& suffix) {
  const std::string mu = "mu" + suffix, sigma = "sigma" + suffix, where = cat("cannot read ", file.path(), ": ");
  for (const std::string& name : {mu, sigma}) {
    if (!file.has(name)) { throw IoError(cat(where, "statistics without ", name)); }
  }
  Gaussian g{.mean = file.read(mu, DType::kF64), .covariance = file.read(sigma, DType::kF64)};
  if (g.mean.ndim() != 1 || g.covariance.shape() != Shape{g.mean.numel(), g.mean.numel()} || g.mean.numel() == 0) {
    throw IoError(
        cat(where, mu, " must be (d) and ", sigma, " (d, d), got ", g.mean.shape(), " and ", g.covariance.shape()));
  }
  for (const auto& [name, values] : {std::pair(mu, g.mean), std::pair(sigma, g.covariance)}) {
    const double* p = values.data<double>();
    if (!std::all_of(p, p + values.numel(), [](double v) { return std::isfinite(v); })) {
      throw IoError(cat(where, name, " holds values that are not finite"));
    }
  }
  check_symmetric(g.covariance, where + sigma);
  if (file.has("count")) {
    g.count = file.read("count").item<int64_t>();
    if (g.count < 2) { throw IoError(cat(where, "statistics of ", g.count, " images")); }
  }
  return g;
}

}  // namespace

bool is_statistics_file(const std::string& path) {
  if (!ZipReader::recognises(*MappedFile::open(path))) { return false; }
  const TensorFile file = open_tensor_file(path);
  return file.has("mu") || file.has("sigma");
}

ImageStatistics read_statistics(const std::string& path) {
  const TensorFile file = open_tensor_file(path);
  ImageStatistics statistics{.features = read_gaussian(file, ""), .spatial = std::nullopt};
  if (file.has("mu_s") || file.has("sigma_s")) { statistics.spatial = read_gaussian(file, "_s"); }
  return statistics;
}

void write_statistics(const std::string& path, const ImageStatistics& statistics) {
  NpzWriter npz(path);
  const auto write = [&](const std::string& name, const Tensor& value) {
    npz.begin(name, value.dtype(), value.shape());
    npz.append(value);
  };
  write("mu", statistics.features.mean);
  write("sigma", statistics.features.covariance);
  if (statistics.spatial) {
    write("mu_s", statistics.spatial->mean);
    write("sigma_s", statistics.spatial->covariance);
  }
  if (statistics.features.count > 0) {
    write("count", Tensor::scalar(static_cast<double>(statistics.features.count), DType::kI64));
  }
  npz.commit();
}

}  // namespace terrace

// Statistics of a set of images in a file, as pytorch-fid and the ADM evaluator exchange them: an .npz with mu and
// sigma, of sFID's features also mu_s and sigma_s. Ours has the number of images as well, `count`, which both ignore.
#pragma once

#include <optional>
#include <string>

#include "metrics/moments.h"

namespace terrace {

struct ImageStatistics {
  Gaussian features;
  std::optional<Gaussian> spatial;  // of sFID's features
};

/// Whether the file is an .npz that holds `mu`. Throws IoError where it cannot be read.
bool is_statistics_file(const std::string& path);
/// Throws IoError that names the file and what does not fit: an array missing, a matrix that is not (d, d) or not
/// symmetric, a value that is not finite.
ImageStatistics read_statistics(const std::string& path);
void write_statistics(const std::string& path, const ImageStatistics& statistics);

}  // namespace terrace

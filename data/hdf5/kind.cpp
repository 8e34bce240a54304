#include "data/hdf5/kind.h"

#include "tensor/base/error.h"

namespace terrace {

void write_kind(Hdf5File& file, const std::string& kind) {
  file.write_attr_string("/", "terrace_kind", kind);
  file.write_attr_int("/", "terrace_version", kCheckpointVersion);
}

void check_kind(const Hdf5File& file, const std::string& kind) {
  if (!file.has_attr("/", "terrace_kind")) {
    throw IoError(cat(file.path(), ": is not a checkpoint of kind '", kind, "' (no attribute terrace_kind)"));
  }
  const std::string found = file.read_attr_string("/", "terrace_kind");
  if (found != kind) { throw IoError(cat(file.path(), ": is of kind '", found, "', expected '", kind, "'")); }
  const int64_t version = file.read_attr_int("/", "terrace_version");
  if (version > kCheckpointVersion) {
    throw IoError(cat(file.path(), ": has version ", version, ", this program reads up to ", kCheckpointVersion));
  }
}

}  // namespace terrace

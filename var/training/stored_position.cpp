#include "var/training/stored_position.h"

#include <filesystem>

#include "data/files/json.h"
#include "data/hdf5/file.h"

namespace terrace {

std::optional<StoredPosition> stored_position(const std::string& path) {
  if (!std::filesystem::is_regular_file(path)) { return std::nullopt; }
  try {
    const Hdf5File file = Hdf5File::open(path);
    if (!file.has_attr("/", "training")) { return std::nullopt; }
    const Json options = parse_json_if_valid(file.read_attr_string("/", "training"));
    if (!options.is_object()) { return std::nullopt; }
    return StoredPosition{.step = file.read_attr_int("/", "step"), .steps = options.value("steps", int64_t{0})};
  } catch (const std::exception&) { return std::nullopt; }  // the caller opens it for itself and says what is wrong
}

}  // namespace terrace

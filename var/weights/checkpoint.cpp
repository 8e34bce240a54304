#include "var/weights/checkpoint.h"

#include <algorithm>
#include <filesystem>

#include "data/files/json.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {

void write_state(Hdf5File& file, const std::string& group, const State& state) {
  file.make_group(group);
  for (const auto& [name, value] : state) { file.write(group + "/" + name, value); }
}

State read_state(const Hdf5File& file, const std::string& group) {
  State state;
  for (const std::string& name : file.list_datasets(group)) { state[name] = file.read(group + "/" + name); }
  return state;
}

std::string checkpoint_file(const std::string& path) {
  namespace fs = std::filesystem;
  constexpr const char* kName = "checkpoint.h5";
  constexpr size_t kMaxNames = 8;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) { return path; }
  const fs::path folder(path);
  if (fs::exists(folder / kName, ignored)) { return (folder / kName).string(); }
  std::vector<std::string> names, runs;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    names.push_back(entry.path().filename().string());
    if (fs::exists(entry.path() / kName, ignored)) { runs.push_back((folder / names.back()).string()); }
  }
  std::sort(names.begin(), names.end());
  std::sort(runs.begin(), runs.end());
  const std::string there = !runs.empty()   ? "there are runs in " + join_names(runs, ", ", kMaxNames)
                            : names.empty() ? "it is empty"
                                            : "it holds " + join_names(names, ", ", kMaxNames);
  throw IoError(
      cat(path, ": the folder holds no ", kName, ", which train_vqvae and train_var leave in theirs; ", there));
}

std::vector<std::string> stored_class_names(const TensorFile& file) {
  if (file.format() == "HDF5") {
    const Hdf5File checkpoint = Hdf5File::open(file.path());
    return checkpoint.has("class_names") ? checkpoint.read_strings("class_names") : std::vector<std::string>();
  }
  const auto& metadata = file.metadata();
  const auto text = metadata.find("class_names");
  if (!metadata.contains("terrace_kind") || text == metadata.end()) { return {}; }
  const Json names = parse_json_if_valid(text->second);
  const bool are_texts =
      names.is_array() && std::all_of(names.begin(), names.end(), [](const Json& name) { return name.is_string(); });
  if (!are_texts) { throw IoError(cat(file.path(), ": class_names is not a JSON list of texts: ", text->second)); }
  return names.get<std::vector<std::string>>();
}

}  // namespace terrace

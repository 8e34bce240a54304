#include "var/weights/checkpoint.h"

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

}  // namespace terrace

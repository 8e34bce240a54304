// The run.json of a run that is there already, as programs read it back: every field has the type that it is read as.
//
//   if (const auto run = stored_run(folder, "give another folder with --out")) { use(run->program, run->files); }
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/files/json.h"

namespace terrace {

struct StoredRun {
  std::string program, started;
  std::string ended = {};                                         // "" where the run has not come to its end
  std::optional<std::vector<std::string>> files = {};             // normal paths, each once; none by earlier versions
  Json configuration = Json::object(), results = Json::object();  // those of their fields that programs read are typed
};

/// What `folder`/run.json says; nullopt where there is none. Throws ConfigError that names the file, what is wrong in
/// it and the way out, `advice`, where it is empty or cut off, lacks the program or the start, has a field of another
/// type, lists a file twice, or has another checksum. One without a checksum gives a note.
std::optional<StoredRun> stored_run(const std::string& folder, const std::string& advice);

}  // namespace terrace

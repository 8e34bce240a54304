#include "experiments/cli/stored_run.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "experiments/cli/run_record.h"
#include "experiments/cli/small_file.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

bool is_text(const Json& value) { return value.is_string(); }
bool is_text_or_null(const Json& value) { return value.is_string() || value.is_null(); }
bool is_count(const Json& value) { return value.is_number_unsigned(); }
bool is_flag(const Json& value) { return value.is_boolean(); }
bool is_object(const Json& value) { return value.is_object(); }
bool is_object_or_list(const Json& value) { return value.is_structured(); }
bool is_list_of_texts(const Json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_string(); });
}
bool is_list_of_whole_numbers(const Json& value) {
  return value.is_array() &&
         std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_number_integer(); });
}
bool is_object_of_texts(const Json& value) {
  return value.is_object() && std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_string(); });
}

/// A field that some program reads back.
struct Field {
  const char* pointer;  // RFC 6901
  bool (*fits)(const Json& value);
  const char* type;
  bool required = false;
};

constexpr Field kFields[] = {
    {.pointer = "/program", .fits = is_text, .type = "a text", .required = true},
    {.pointer = "/started", .fits = is_text, .type = "a text", .required = true},
    {.pointer = "/ended", .fits = is_text_or_null, .type = "a text or null"},
    {.pointer = "/files", .fits = is_list_of_texts, .type = "a list of texts"},
    {.pointer = "/configuration", .fits = is_object, .type = "an object"},
    {.pointer = "/configuration/files", .fits = is_flag, .type = "true or false"},
    {.pointer = "/configuration/init-from", .fits = is_text, .type = "a text"},
    {.pointer = "/configuration/npz", .fits = is_text, .type = "a text"},
    {.pointer = "/results", .fits = is_object_or_list, .type = "an object or a list"},
    {.pointer = "/results/steps", .fits = is_count, .type = "a whole number"},
    {.pointer = "/results/images", .fits = is_count, .type = "a whole number"},
    {.pointer = "/results/labels", .fits = is_list_of_whole_numbers, .type = "a list of whole numbers"},
    {.pointer = "/results/class_names", .fits = is_object_of_texts, .type = "an object of texts"},
    {.pointer = "/results/npz", .fits = is_text, .type = "a text"},
    {.pointer = "/results/drawn_from", .fits = is_object, .type = "an object"},
};

/// What is wrong in the record, "" where nothing is.
std::string mistake_in(const Json& record) {
  if (!record.is_object()) { return "it is no JSON object"; }
  for (const Field& field : kFields) {
    const Json::json_pointer pointer(field.pointer);
    const std::string name = cat("\"", std::string(field.pointer).substr(1), "\"");
    if (!record.contains(pointer)) {
      if (field.required) { return name + " is missing"; }
    } else if (!field.fits(record.at(pointer))) {
      return cat(name, " is ", json_text(record.at(pointer)), ", where ", field.type, " belongs");
    }
  }
  return "";
}

Json member_object(const Json& record, const char* name) {
  const auto found = record.find(name);
  return found != record.end() && found->is_object() ? *found : Json::object();
}

}  // namespace

std::optional<StoredRun> stored_run(const std::string& folder, const std::string& advice) {
  const std::string path = folder + "/run.json";
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(path, ignored))) { return std::nullopt; }
  const auto refuse = [&](const std::string& mistake) {
    throw ConfigError(cat(path, " is not the record of a run: ", mistake, "; ", advice));
  };
  const std::string text = read_small_file(path);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) { refuse("it is empty"); }
  Json record = parse_json_if_valid(text);
  if (record.is_discarded()) { refuse("it is no valid JSON, or is cut off"); }
  const JsonCheck check = take_checksum(record);
  if (check == JsonCheck::kDiffers) { refuse(kChecksumDiffers); }
  if (const std::string mistake = mistake_in(record); !mistake.empty()) { refuse(mistake); }

  StoredRun run{.program = record["program"].get<std::string>(), .started = record["started"].get<std::string>()};
  if (const auto ended = record.find("ended"); ended != record.end() && ended->is_string()) { run.ended = *ended; }
  run.configuration = member_object(record, "configuration");
  run.results = member_object(record, "results");
  if (const auto files = record.find("files"); files != record.end()) {
    run.files.emplace();
    std::set<std::string> known;
    for (const Json& file : *files) {
      run.files->push_back(fs::path(file.get<std::string>()).lexically_normal().string());
      if (!known.insert(run.files->back()).second) { refuse(cat("\"files\" lists ", run.files->back(), " twice")); }
    }
  }
  if (check == JsonCheck::kNone) { note_without_checksum(path); }
  return run;
}

}  // namespace terrace

#include "experiments/cli/run_record.h"

#include <cblas.h>
#include <oneapi/dnnl/dnnl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "data/hdf5/handle.h"
#include "experiments/cli/core_sharing.h"
#include "experiments/cli/program.h"
#include "experiments/cli/small_file.h"
#include "experiments/cli/stored_run.h"
#include "tensor/base/error.h"
#include "tensor/base/notes.h"
#include "tensor/device/allocator.h"
#include "tensor/device/device.h"

namespace terrace {

RunRecord::RunRecord(std::string program, Json configuration, uint64_t seed)
    : program_(std::move(program)),
      started_(timestamp_now()),
      configuration_(std::move(configuration)),
      seed_(seed),
      start_(std::chrono::steady_clock::now()) {}

double RunRecord::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

Json RunRecord::to_json() const {
  const MemoryStats stats = memory_stats();
  Json named = Json::object();
  for (const MemoryFigure& figure : stats.named) {
    if (!figure.name.empty()) { named[figure.name] = figure.peak; }
  }
  Json record;
  record["program"] = program_;
  record["version"] = version();
  record["seed"] = seed_;
  record["configuration"] = configuration_;
  record["started"] = started_;
  record["ended"] = timestamp_now();
  record["wall_seconds"] = seconds();
  record["memory"] = {{"peak_resident_bytes", peak_resident_bytes()},
                      {"tensors_peak_bytes", stats.peak},
                      {"tensors_reserved_bytes", stats.reserved},
                      {"named_peak_bytes", named}};
  record["machine"] = describe_machine();
  record["libraries"] = describe_libraries();
  record["results"] = results_;
  if (files_) { record["files"] = *files_; }
  return record;
}

void RunRecord::write(const std::string& folder) const {
  write_file(folder + "/run.json", checked_json_text(to_json()));
}

void RunRecord::write_unfinished(const std::string& folder) const {
  Json record = to_json();
  record["ended"] = nullptr;
  write_file(folder + "/run.json", checked_json_text(std::move(record)));
}

Json describe_machine() {
  utsname system = {};
  uname(&system);
  const int64_t memory = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  return {{"cpu", cpu_model()},        {"kernels", name_of(cpu_backend())},
          {"threads", thread_limit()}, {"cores", sysconf(_SC_NPROCESSORS_ONLN)},
          {"memory_bytes", memory},    {"system", cat(system.sysname, " ", system.release, " ", system.machine)}};
}

Json describe_libraries() {
  const dnnl_version_t* dnnl = dnnl_version();
  unsigned major = 0, minor = 0, release = 0;
  const hdf5::Lock lock;  // which every call of the library takes; the first one prepares it
  H5get_libversion(&major, &minor, &release);
  return {{"onednn", cat(dnnl->major, ".", dnnl->minor, ".", dnnl->patch)},
          {"openblas", openblas_get_config()},
          {"hdf5", cat(major, ".", minor, ".", release)},
          {"compiler", cat("g++ ", __VERSION__)}};
}

int64_t peak_resident_bytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

std::string timestamp_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

Json read_json_file(const std::string& path) { return parse_written_json(read_small_file(path), path); }

CheckedJson read_checked_json(const std::string& path, const std::string& advice) {
  CheckedJson read{.value = parse_json_if_valid(read_small_file(path))};
  if (read.value.is_discarded()) { throw ConfigError(cat(path, ": it is no valid JSON, or is cut off; ", advice)); }
  const JsonCheck check = take_checksum(read.value);
  if (check == JsonCheck::kDiffers) { throw ConfigError(cat(path, ": ", kChecksumDiffers, "; ", advice)); }
  read.has_checksum = check == JsonCheck::kSame;
  return read;
}

void note_without_checksum(const std::string& path) {
  note(cat(path, " has no checksum (an earlier version wrote it, or it was edited); it is taken as it stands"));
}

Json recorded_results(const std::string& folder) {
  const auto run = stored_run(folder, "move it away");
  return run ? run->results : Json::object();
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_directory(path, ignored)) {
    throw IoError(cat(path, ": exists and is not a folder"));
  }
  if (error) { throw IoError(cat(path, ": cannot create folder: ", error.message())); }
  if (access(path.c_str(), W_OK | X_OK) != 0) {
    throw IoError(cat(path, ": folder cannot be written to: ", std::strerror(errno)));
  }
}

}  // namespace terrace

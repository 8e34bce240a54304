// Runs a command line and says what does not hold.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <set>
#include <sstream>
#include <thread>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "tensor/base/error.h"
#include "tests/reliability/command_lines.h"

namespace terrace {

namespace fs = std::filesystem;

std::string internals_in(const std::string& text) {
  for (const char* part : {"std::",
                           "basic_string",
                           "vector::",
                           "stoll",
                           "stoul",
                           "stoi",
                           "stod",
                           "json.exception",
                           "filesystem error",
                           "what():",
                           "terminate called",
                           "CLI::",
                           "nlohmann",
                           "HDF5-DIAG",
                           "H5F",
                           "H5D",
                           "H5G",
                           "H5A",
                           "BLAS :",
                           "bad_alloc",
                           "_M_",
                           "map::at",
                           "::at:",
                           "regex_error",
                           "primitive descriptor",
                           "libgomp",
                           "Assertion",
                           "error while loading",
                           "OpenBLAS",
                           "iostream error",
                           "bad_optional",
                           "bad_variant",
                           "bad_function",
                           "Required",
                           "required N",
                           "not convertible"}) {
    if (text.find(part) != std::string::npos) { return part; }
  }
  return "";
}

namespace {

std::string read_or_empty(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored) ? read_file(path) : "";
}

/// What the folder holds beside what its runs list, and half-written files; "" where all is accounted for.
std::string stray_files(const std::string& folder) {
  std::set<fs::path> listed;
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) { continue; }
    found.push_back(entry.path());
    if (entry.path().filename() != "run.json") { continue; }
    const Json record = parse_json_if_valid(read_file(entry.path().string()));
    listed.insert(entry.path());
    if (!record.is_object() || !record.contains("files")) { continue; }
    for (const Json& file : record["files"]) { listed.insert(entry.path().parent_path() / file.get<std::string>()); }
  }
  // Outputs that are files by themselves, and what the run was given.
  const std::set<std::string> known = {
      "note.txt",    "empty.h5",        "stdout",        "stderr",
      "config.json", "tokens-train.h5", "tokens-test.h5"};  // caches, which outlive their run
  for (const fs::path& path : found) {
    const std::string name = path.filename().string();
    if (name.find(".partial-") != std::string::npos) { return path.string() + " is left, half-written"; }
    const bool in_run = path.parent_path() != folder && fs::exists(path.parent_path() / "run.json");
    if (in_run && !listed.contains(path) && !known.contains(name)) { return path.string() + " is in no list of a run"; }
  }
  return "";
}

pid_t start(const CommandLine& line, const std::string& programs, const std::string& folder) {
  std::vector<std::string> texts = {programs + "/" + line.program};
  texts.insert(texts.end(), line.arguments.begin(), line.arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) { pointers.push_back(text.data()); }
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  const std::string out = folder + "/stdout", err = folder + "/stderr";
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  pid_t process = 0;
  const int error = posix_spawn(&process, texts[0].c_str(), &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) { throw Error(cat("cannot start ", texts[0], ": ", std::strerror(error))); }
  return process;
}

/// Waits until it ends or the time is over; whether it has ended.
bool wait_for(pid_t process, double seconds, int& status) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  while (waitpid(process, &status, WNOHANG) == 0) {
    if (std::chrono::duration<double>(Clock::now() - begin).count() > seconds) { return false; }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

std::string mistake_of(const CommandOutcome& outcome, const CommandLine& line, const std::string& folder) {
  if (outcome.hung) { return "did not end within two seconds after SIGINT"; }
  const bool fits = outcome.status == 0 || outcome.status == 2 || outcome.status == 130 ||
                    (outcome.status == 1 && line.program == "run_fixture");
  if (!fits) { return cat("exit code ", outcome.status); }
  if (const std::string part = internals_in(outcome.errors); !part.empty()) {
    return cat("a text of a library's internals: ", part);
  }
  const std::string head = line.program + ": error: ";
  int64_t errors = 0;
  std::string last;
  std::istringstream lines(outcome.errors);
  for (std::string text; std::getline(lines, text);) {
    if (text.starts_with(head)) { ++errors; }
    last = text;
  }
  if (outcome.status == 2 && (errors != 1 || !last.starts_with(head))) { return "not one line of error at the end"; }
  if (outcome.status == 0 && errors != 0) { return "an error, and exit code 0"; }
  if (last.size() > 2000) { return cat("a line of ", last.size(), " bytes"); }
  return stray_files(folder);
}

}  // namespace

CommandOutcome run_command_line(const CommandLine& line, const std::string& programs, const std::string& folder) {
  fs::create_directories(folder + "/folder");
  write_file(folder + "/note.txt", "a text\n");
  write_file(folder + "/empty.h5", "");
  mkfifo((folder + "/pipe").c_str(), 0600);
  for (const auto& [name, content] : line.files) { write_file(folder + "/" + name, content); }
  constexpr double kPatience = 5, kAfterSignal = 2;
  const auto begin = std::chrono::steady_clock::now();
  const pid_t process = start(line, programs, folder);
  CommandOutcome outcome;
  int status = 0;
  if (!wait_for(process, kPatience, status)) {
    kill(process, SIGINT);
    if (!wait_for(process, kAfterSignal, status)) {
      outcome.hung = true;
      kill(process, SIGKILL);
      waitpid(process, &status, 0);
    }
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.errors = read_or_empty(folder + "/stderr");
  outcome.mistake = mistake_of(outcome, line, folder);
  fs::remove_all(folder);
  return outcome;
}

}  // namespace terrace

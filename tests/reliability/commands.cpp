// Mutated command lines and configurations (command_lines.h).
#include <filesystem>
#include <optional>

#include "tensor/base/error.h"
#include "tests/reliability/attack.h"
#include "tests/reliability/command_lines.h"
#include "tests/support.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

std::optional<CommandLines> g_lines;

std::string programs() { return program_path("sample").parent_path().string(); }

}  // namespace

/// In a copy of the fixture: a command line may name its files as places to write to.
void prepare_commands(const Place& place) {
  const fs::path inputs = place.fixture.parent_path() / "fixture-commands";
  if (!g_lines) {
    fs::copy(place.fixture, inputs, fs::copy_options::recursive);
    g_lines.emplace(programs(), inputs.string());
  }
}

Verdict try_command(const Place& place, int64_t index, Chance& chance) {
  const CommandLine line = g_lines->make(chance.bits(), static_cast<uint64_t>(index));
  fs::create_directories(place.scratch);
  const CommandOutcome outcome = run_command_line(line, programs(), (place.scratch / "command").string());
  Verdict verdict{line.program, outcome.status == 2 ? Outcome::kRefused : Outcome::kSame, text_of(line)};
  if (outcome.mistake.empty()) { return verdict; }
  verdict.detail = cat(outcome.mistake, ": ", text_of(line), ": ", outcome.errors.substr(0, 400));
  verdict.outcome = outcome.hung                                            ? Outcome::kHang
                    : outcome.status > 128 && outcome.status != 130         ? Outcome::kCrash
                    : outcome.mistake.find("partial-") != std::string::npos ? Outcome::kLeftOver
                                                                            : Outcome::kWrongText;
  return verdict;
}

}  // namespace terrace

// Folders and files that hold work already: refused with the way out, gone on with, or replaced, exactly as far as
// run.json says.
#include "experiments/cli/output_folder.h"

#include <filesystem>

#include "data/files/atomic_file.h"
#include "experiments/cli/run_record.h"
#include "tests/data/files/other_process.h"
#include "tests/experiments/programs.h"
#include "tests/flipped_bits.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

RunRecord record_of(const std::string& program) { return {program, Json::object(), 0}; }

OutputPlan plan_of(std::vector<std::string> files) {
  return {.program = "sample", .files = std::move(files), .temporary = {"part"}, .resumable = true, .inputs = {}};
}

/// A run that wrote its files; "ended" says whether it came to its end.
void leave_run(const std::string& folder, const std::vector<std::string>& files, bool ended) {
  RunRecord record = record_of("sample");
  OutputFolder output(folder, plan_of(files), IfThere::kRefuse);
  output.begin(record);
  for (const std::string& file : files) { write_file(output.path(file), "of the run before"); }
  if (!ended) { write_file(output.path("part"), "x"); }
  if (ended) { output.finish(record); }
}

/// The whole error, the time of the run that is there left out.
void expect_refused(const std::function<void()>& f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected: " << text;
  } catch (const ConfigError& error) {
    std::string said = error.what();
    for (const char* before : {" that ended ", " that began "}) {
      const size_t at = said.find(before);
      if (at != std::string::npos) { said.replace(at + std::string(before).size(), 20, "TIME"); }
    }
    EXPECT_EQ(said, text);
  }
}

class OutputFolders : public testing::Test {
 protected:
  void open(IfThere how, std::vector<std::string> files = {"grid.png"}) {
    OutputFolder output(out(), plan_of(std::move(files)), how);
  }
  std::string out() const { return folder_ / "out"; }
  Json record() const { return read_json_file(out() + "/run.json"); }
  TemporaryFolder folder_;
};

TEST_F(OutputFolders, ListTheirFilesFromTheStartToTheEnd) {
  RunRecord record = record_of("sample");
  OutputFolder output(out(), plan_of({"grid.png", "images/0.png"}), IfThere::kRefuse);
  EXPECT_EQ(names_in(out()), "[.run.lock]") << "looking changes nothing else";
  output.begin(record);
  EXPECT_TRUE(fs::is_directory(out() + "/images"));
  EXPECT_EQ(this->record()["files"], Json({"grid.png", "images/0.png", "part"}));
  EXPECT_TRUE(this->record()["ended"].is_null());
  output.add(record, "later.png");
  output.add(record, "later.png");
  EXPECT_EQ(this->record()["files"], Json({"grid.png", "images/0.png", "later.png", "part"}));
  output.finish(record);
  EXPECT_EQ(this->record()["files"], Json({"grid.png", "images/0.png", "later.png"}));
  EXPECT_TRUE(this->record()["ended"].is_string());
}

TEST_F(OutputFolders, ThatWereMadeGoWithARunThatDoesNotBegin) {
  { OutputFolder(folder_ / "a/b/c/", plan_of({"grid.png"}), IfThere::kRefuse); }
  EXPECT_EQ(names_in(folder_.path()), "[]");
  make_folder(folder_ / "a");
  { OutputFolder(folder_ / "a/b", plan_of({"grid.png"}), IfThere::kRefuse); }
  EXPECT_EQ(names_in(folder_.path()), "[a]");
  EXPECT_EQ(names_in(folder_ / "a"), "[]");
}

TEST_F(OutputFolders, WithARunAreRefusedWithTheWayOut) {
  leave_run(out(), {"grid.png"}, true);
  expect_refused([&] { open(IfThere::kRefuse); },
                 out() +
                     " holds a run of sample that ended TIME; add --resume to go on with it, --overwrite to replace "
                     "it, or give another folder with --out");
  expect_refused(
      [&] { OutputFolder(out(), {.program = "sample"}, IfThere::kRefuse); },
      out() +
          " holds a run of sample that ended TIME; add --overwrite to replace it, or give another folder with --out");
  for (const IfThere how : {IfThere::kRefuse, IfThere::kResume, IfThere::kOverwrite}) {
    expect_refused([&] { OutputFolder(out(), {.program = "edit"}, how); },
                   out() + " holds a run of sample, which edit does not replace; give another folder with --out");
  }
  EXPECT_EQ(read_file(out() + "/grid.png"), "of the run before");
}

TEST_F(OutputFolders, WithAnUnfinishedRunSayThatItIs) {
  leave_run(out(), {"images/0.png"}, false);
  expect_refused([&] { open(IfThere::kRefuse); },
                 out() +
                     " holds an unfinished run of sample that began TIME; add --resume to go on with it, "
                     "--overwrite to replace it, or give another folder with --out");
  RunRecord record = record_of("sample");
  OutputFolder output(out(), plan_of({"grid.png"}), IfThere::kResume);
  EXPECT_EQ(output.files_before(), (std::vector<std::string>{"images/0.png", "part"}));
  output.begin(record);
  EXPECT_EQ(this->record()["files"], Json({"grid.png", "images/0.png", "part"})) << "what was listed stays";
  output.finish(record);
  EXPECT_EQ(this->record()["files"], Json({"grid.png", "images/0.png"}));
}

TEST_F(OutputFolders, OfAStoppedRunHaveItsResultsAndNoEnd) {
  RunRecord record = record_of("sample");
  OutputFolder output(out(), plan_of({"grid.png"}), IfThere::kRefuse);
  output.begin(record);
  write_file(output.path("grid.png"), "x");
  record.results()["steps"] = 3;
  output.stop(record);
  EXPECT_TRUE(this->record()["ended"].is_null());
  EXPECT_EQ(this->record()["results"]["steps"], 3);
  EXPECT_EQ(this->record()["files"], Json({"grid.png", "part"}));
}

TEST_F(OutputFolders, AreClearedOfExactlyWhatTheRecordLists) {
  leave_run(out(), {"grid.png", "images/0.png", "images/1.png", "scales/0.png"}, true);
  write_file(out() + "/notes.txt", "mine");
  write_file(out() + "/images/mine.png", "mine");
  RunRecord record = record_of("sample");
  OutputFolder output(out(), plan_of({"grid.png"}), IfThere::kOverwrite);
  EXPECT_TRUE(fs::exists(out() + "/grid.png")) << "nothing is removed before the run begins";
  output.begin(record);
  for (const char* gone : {"grid.png", "images/0.png", "images/1.png", "scales"}) {
    EXPECT_FALSE(fs::exists(out() + "/" + gone)) << gone;
  }
  for (const char* kept : {"notes.txt", "images/mine.png"}) { EXPECT_EQ(read_file(out() + "/" + kept), "mine"); }
  write_file(output.path("grid.png"), "new");
  output.finish(record);
  EXPECT_EQ(this->record()["files"], Json({"grid.png"}));
}

TEST_F(OutputFolders, WithFilesOfNoRunAreRefused) {
  make_folder(out());
  write_file(out() + "/grid.png", "mine");
  expect_refused([&] { open(IfThere::kRefuse); },
                 out() +
                     "/grid.png is there already and no run.json lists it; add --resume to go on with its run, move "
                     "it away, or give another folder with --out");
  expect_refused([&] { open(IfThere::kOverwrite); },
                 out() +
                     "/grid.png is there already and no run.json lists it; move it away, or give another folder "
                     "with --out");
  open(IfThere::kRefuse, {"other.png"});
  open(IfThere::kResume);  // a run of an earlier version
  EXPECT_EQ(read_file(out() + "/grid.png"), "mine");
}

TEST_F(OutputFolders, AreNotClearedByARecordThatCannotBeTrusted) {
  leave_run(out(), {"grid.png"}, true);
  Json record = this->record();
  record["files"] = {"../secret"};
  write_file(out() + "/run.json", checked_json_text(record));
  expect_refused([&] { open(IfThere::kOverwrite, {}); },
                 "--overwrite: " + out() +
                     "/run.json lists \"../secret\", which is not below its folder; give another "
                     "folder with --out");
  record["files"] = {"/etc/passwd"};
  write_file(out() + "/run.json", checked_json_text(record));
  expect_refused([&] { open(IfThere::kOverwrite, {}); },
                 "--overwrite: " + out() +
                     "/run.json lists \"/etc/passwd\", which is not below its folder; give another "
                     "folder with --out");
  record.erase("files");
  write_file(out() + "/run.json", checked_json_text(record));
  expect_refused([&] { open(IfThere::kOverwrite, {}); },
                 "--overwrite: " + out() +
                     "/run.json does not list the files of its run (an earlier version wrote it); "
                     "remove the folder yourself, or give another one with --out");
  write_file(out() + "/run.json", "{\"speed\": 3}");
  expect_refused([&] { open(IfThere::kRefuse, {}); },
                 out() +
                     "/run.json is not the record of a run: \"program\" is missing; move it away (--resume from a "
                     "checkpoint needs none), or give another folder with --out");
}

TEST_F(OutputFolders, WithADamagedRecordSayWhatIsWrongInIt) {
  leave_run(out(), {"grid.png"}, true);
  const Json whole = record();
  const auto with = [&](const char* pointer, const Json& value) {
    Json changed = whole;
    changed[Json::json_pointer(pointer)] = value;
    return checked_json_text(changed);
  };
  const std::pair<std::string, std::string> cases[] = {
      {"", "it is empty"},
      {" \n", "it is empty"},
      {whole.dump().substr(0, 40), "it is no valid JSON, or is cut off"},
      {"[]", "it is no JSON object"},
      {with("/program", 3), "\"program\" is 3, where a text belongs"},
      {with("/started", 5), "\"started\" is 5, where a text belongs"},
      {with("/ended", true), "\"ended\" is true, where a text or null belongs"},
      {with("/files", 3), "\"files\" is 3, where a list of texts belongs"},
      {with("/files", {1}), "\"files\" is [1], where a list of texts belongs"},
      {with("/files", {"a.png", "images/../a.png"}), "\"files\" lists a.png twice"},
      {with("/configuration", "x"), "\"configuration\" is \"x\", where an object belongs"},
      {with("/configuration/npz", 3), "\"configuration/npz\" is 3, where a text belongs"},
      {with("/results", 3), "\"results\" is 3, where an object or a list belongs"},
      {with("/results/steps", "4"), "\"results/steps\" is \"4\", where a whole number belongs"},
      {with("/results/images", -1), "\"results/images\" is -1, where a whole number belongs"}};
  for (const auto& [text, mistake] : cases) {
    write_file(out() + "/run.json", text);
    const std::string said = out() + "/run.json is not the record of a run: " + mistake + "; move it away";
    for (const IfThere how : {IfThere::kRefuse, IfThere::kResume, IfThere::kOverwrite}) {
      expect_refused([&] { open(how); },
                     said + " (--resume from a checkpoint needs none), or give another folder with --out");
      expect_refused([&] { OutputFolder(out(), {.program = "sample"}, how); },
                     said + ", or give another folder with --out");
    }
    expect_refused([&] { recorded_results(out()); }, said);
  }
  fs::remove(out() + "/run.json");
  open(IfThere::kResume);
  EXPECT_TRUE(recorded_results(out()).empty());
  write_file(out() + "/run.json", with("/results", Json::array({1})));  // as inspect_pe writes it
  EXPECT_TRUE(recorded_results(out()).empty());
  open(IfThere::kResume);
}

TEST_F(OutputFolders, AreNotClearedOfWhatTheNewRunReads) {
  leave_run(out(), {"images/0.png"}, true);
  OutputPlan plan = plan_of({"grid.png"});
  for (const std::string& input : {out() + "/images/0.png", out() + "/images", out() + "/images/", out()}) {
    plan.inputs = {{"--fake", folder_ / "elsewhere"}, {"--image", ""}, {"--image", input}};
    expect_refused([&] { OutputFolder(out(), plan, IfThere::kOverwrite); },
                   out() + "/images/0.png is a file that --image reads (" + input +
                       "); an input is never written over, with --overwrite neither: give another folder with --out");
  }
  plan.inputs = {{"--image", out() + "/image"}, {"--fake", folder_ / "elsewhere"}};
  OutputFolder(out(), plan, IfThere::kOverwrite);
}

TEST_F(OutputFolders, DoNotTakeAnInputForAnOutput) {
  make_folder(out());
  write_file(out() + "/checkpoint.h5", "a tokenizer");
  OutputPlan plan = plan_of({"checkpoint.h5"});
  for (const std::string& input : {out() + "/checkpoint.h5", out()}) {
    plan.inputs = {{"--tokenizer", input}};
    for (const IfThere how : {IfThere::kRefuse, IfThere::kResume, IfThere::kOverwrite}) {
      expect_refused([&] { OutputFolder(out(), plan, how); },
                     out() + "/checkpoint.h5 is a file that --tokenizer reads (" + input +
                         "); an input is never written over, with --overwrite neither: give another folder with --out");
    }
  }
  plan = plan_of({"grid.png"});
  plan.inputs = {{"--image", out() + "/later.png"}};
  write_file(out() + "/later.png", "x");
  RunRecord record = record_of("sample");
  OutputFolder output(out(), plan, IfThere::kRefuse);
  output.begin(record);
  expect_refused([&] { output.add(record, "later.png"); },
                 out() + "/later.png is a file that --image reads (" + out() +
                     "/later.png); an input is never written over, with --overwrite neither: give another folder with "
                     "--out");
  EXPECT_EQ(read_file(out() + "/later.png"), "x");
}

TEST_F(OutputFolders, AreClearedOfWhatDeadProcessesWereWriting) {
  OtherProcess([&] { leave_run(out(), {"images/0.png"}, false); });  // this one would not look at its folder again
  leave_partial_file(out() + "/images/0.png");
  leave_partial_file(out() + "/mine.txt");
  EXPECT_EQ(files_in(out()), 5);
  RunRecord record = record_of("sample");
  OutputFolder output(out(), plan_of({"grid.png"}), IfThere::kResume);
  output.begin(record);
  EXPECT_EQ(names_in(out() + "/images"), "[0.png]");
  EXPECT_EQ(files_in(out()), 5) << "the lock is there, and what was to become a file that is no run's";
}

TEST_F(OutputFolders, OfARunThatLeftNoFileHaveNoRecord) {
  RunRecord record = record_of("sample");
  { OutputFolder(out(), plan_of({"images/0.png"}), IfThere::kRefuse).begin(record); }
  EXPECT_TRUE(fs::is_empty(out()));
  {
    OutputFolder output(out(), plan_of({"images/0.png"}), IfThere::kRefuse);
    output.begin(record);
    write_file(output.path("images/0.png"), "x");
  }
  EXPECT_TRUE(fs::exists(out() + "/run.json"));
}

TEST(OutputFiles, AreReplacedOnRequestAlone) {
  TemporaryFolder folder;
  const std::string file = folder / "a.npz";
  OutputFile("", false, "--npz", {});
  OutputFile(file, false, "--npz", {});
  write_file(file, "x");
  OutputFile(file, true, "--npz", {{"--real", folder / "b.npz"}});
  expect_refused([&] { OutputFile(file, false, "--npz", {}); },
                 file + " is there already; add --overwrite to replace it, or give another name with --npz");
  expect_refused([&] { OutputFile(file, false, "", {}); },
                 file + " is there already; add --overwrite to replace it, or give another name");
  for (const bool overwrite : {false, true}) {
    expect_refused(
        [&] {
          OutputFile(file, overwrite, "--save-stats", {{"--real", file}});
        },
        file + " is a file that --real reads (" + file +
            "); an input is never written over, with --overwrite neither: give another name with "
            "--save-stats");
  }
  EXPECT_EQ(names_in(folder.path()), "[a.npz]");
}

TEST(OutputFiles, ResumeAndOverwriteExcludeEachOther) {
  EXPECT_EQ(if_there(false, false), IfThere::kRefuse);
  EXPECT_EQ(if_there(true, false), IfThere::kResume);
  EXPECT_EQ(if_there(false, true), IfThere::kOverwrite);
  expect_refused([] { if_there(true, true); },
                 "--resume goes on with the run in OUT, --overwrite replaces it; give one of them");
}

TEST_F(OutputFolders, WithAnEditedOrDamagedRecordAreRefused) {
  leave_run(out(), {"grid.png"}, true);
  const std::string path = out() + "/run.json", whole = read_file(path);
  std::string edited = whole;
  edited.replace(edited.find("grid.png"), 8, "cost.png");
  write_file(path, edited);
  for (const IfThere how : {IfThere::kRefuse, IfThere::kResume, IfThere::kOverwrite}) {
    expect_refused([&] { open(how); },
                   path +
                       " is not the record of a run: it was edited or is damaged: its checksum differs (without its "
                       "line \"checksum\" it is taken as it stands); move it away (--resume from a checkpoint needs "
                       "none), or give another folder with --out");
  }
  // Every bit of the list of files and of the program.
  for (const std::string part : {"\"grid.png\"", "\"program\": \"sample\"", "\"files\"", "\"checksum\": \"xxh3:"}) {
    const size_t at = whole.find(part);
    ASSERT_NE(at, std::string::npos) << part;
    for (size_t bit = at * 8; bit < (at + part.size()) * 8; ++bit) {
      put_file(path, with_flipped_bit(whole, bit));
      expect_error<ConfigError>([&] { open(IfThere::kResume); }, path + " is not the record of a run: ");
    }
  }
  // Without the line, as earlier versions wrote it.
  Json record = parse_json(edited);
  record.erase("checksum");
  write_file(path, record.dump());
  testing::internal::CaptureStderr();
  open(IfThere::kResume);
  EXPECT_NE(testing::internal::GetCapturedStderr().find(
                "note: " + path +
                " has no checksum (an earlier version wrote it, or it was edited); it is taken as it stands\n"),
            std::string::npos);
}

TEST_F(OutputFolders, HaveABoundedNumberOfFiles) {
  const TemporaryFolder folder;
  const OutputPlan plan{.program = "sample", .files = std::vector<std::string>(250'001, "a.png")};
  expect_error<ConfigError>([&] { OutputFolder(folder / "out", plan, IfThere::kRefuse); },
                            "250001 files are more than the 250000 that a run may have; make several runs, or leave "
                            "files out with --no-files");
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

}  // namespace
}  // namespace terrace

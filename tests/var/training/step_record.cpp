#include "var/training/step_record.h"

#include <set>

#include "tests/support.h"
#include "var/training/step_log.h"

namespace terrace {
namespace {

/// A record whose members all differ.
template <class Record>
Record filled(double start) {
  Record record;
  double next = start;
  for (const RecordColumn<Record>& column : record_columns<Record>()) {
    const auto fill = [&]<class T>(T Record::*member) {
      if constexpr (std::is_same_v<T, std::vector<double>>) {
        record.*member = {next, next + 0.25};
      } else {
        record.*member = static_cast<T>(next);
      }
    };
    std::visit(fill, column.member);
    ++next;
  }
  return record;
}

/// Everything that checkpoints keep in the table of the records is the same.
template <class Record>
void expect_same_record(const Record& a, const Record& b) {
  for (const RecordColumn<Record>& column : record_columns<Record>()) {
    if (column.measured != Measured::kAlways && column.measured != Measured::kHeldOut) { continue; }
    std::visit([&](auto member) { EXPECT_EQ(a.*member, b.*member) << column.name; }, column.member);
  }
}

TEST(StepRecord, NamesDifferAndAreFound) {
  std::set<std::string> names;
  for (const auto& column : record_columns<VarStepRecord>()) {
    EXPECT_TRUE(names.insert(column.name).second) << column.name;
    EXPECT_EQ(&record_column<VarStepRecord>(column.name), &column);
  }
  expect_error<IndexError>([] { record_column<VarStepRecord>("los"); }, "records have no column los");
}

TEST(StepRecord, LogsAreReadAsTheyWereWrittenWithoutTimes) {
  const TemporaryFolder folder;
  const std::vector<VarStepRecord> log = {filled<VarStepRecord>(1), filled<VarStepRecord>(40)};
  const std::vector<VqvaeStepRecord> tokenizer = {filled<VqvaeStepRecord>(1), filled<VqvaeStepRecord>(40)};
  const std::vector<VqvaeEvaluation> evaluations = {filled<VqvaeEvaluation>(3)};
  Hdf5File file = Hdf5File::create(folder / "log.h5");
  write_var_log(file, log);
  write_table(file, "tokenizer", tokenizer);
  write_table(file, "evaluations", evaluations);
  write_table(file, "none", std::vector<VqvaeEvaluation>());
  file.commit();
  const Hdf5File stored = Hdf5File::open(folder / "log.h5");
  const std::vector<VarStepRecord> read = read_var_log(stored);
  const auto read_tokenizer = read_table<VqvaeStepRecord>(stored, "tokenizer");
  ASSERT_EQ(read.size(), 2u);
  ASSERT_EQ(read_tokenizer.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    expect_same_record(read[i], log[i]);
    expect_same_record(read_tokenizer[i], tokenizer[i]);
    EXPECT_EQ(read[i].seconds_per_step, 0);
    EXPECT_EQ(read[i].peak_bytes, 0);
    EXPECT_EQ(read_tokenizer[i].seconds_per_step, 0);
    EXPECT_EQ(read_tokenizer[i].held_out_images, 0);
    EXPECT_EQ(read[i].frechet_distance, -1);
  }
  expect_same_record(read_table<VqvaeEvaluation>(stored, "evaluations").at(0), evaluations[0]);
  EXPECT_TRUE(read_table<VqvaeEvaluation>(stored, "none").empty());
  expect_error<IoError>([&] { read_table<VqvaeEvaluation>(stored, "tokenizer"); }, "tokenizer/values: wrong width");
}

TEST(StepRecord, PoolsStepsAsTheTableSays) {
  VqvaeStepRecord sum;
  for (int64_t step = 1; step <= 4; ++step) {
    VqvaeStepRecord r;
    r.step = step;
    r.loss = static_cast<double>(step);
    r.lr = 0.5 / static_cast<double>(step);
    r.revived = 2;
    r.psnr = 7;
    r.seconds_per_step = 0.25;
    add_step(sum, r);
  }
  divide_means(sum, 4);
  EXPECT_EQ(sum.step, 4);
  EXPECT_EQ(sum.loss, 2.5);
  EXPECT_EQ(sum.lr, 0.125);
  EXPECT_EQ(sum.revived, 8);
  EXPECT_EQ(sum.seconds_per_step, 1);
  EXPECT_EQ(sum.psnr, 0) << "follows from the mean mse, where the record is closed";
}

}  // namespace
}  // namespace terrace

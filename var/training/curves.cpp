#include "var/training/curves.h"

#include <filesystem>
#include <map>
#include <sstream>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "tensor/base/error.h"
#include "tensor/base/notes.h"

namespace terrace {
namespace {

using Values = std::vector<double>;

constexpr int kDigits = 7;  // of a field that is no integer

std::string csv_number(int64_t value) { return std::to_string(value); }

std::string csv_number(double value) {
  std::ostringstream out;
  out.precision(kDigits);
  out << value;
  return out.str();
}

template <class Record>
bool is_vector(const RecordColumn<Record>& column) {
  return std::holds_alternative<Values Record::*>(column.member);
}

/// Whether a record has what a column is for.
template <class Record>
bool is_measured(const Record& record, const RecordColumn<Record>& column) {
  switch (column.measured) {
    case Measured::kAlways:
      return true;
    case Measured::kHeldOut:
    case Measured::kEvaluation:
      return record.has_held_out();
    default:
      break;
  }
  const auto has_value = [&]<class T>(T Record::*member) {
    if constexpr (std::is_same_v<T, Values>) {
      return !(record.*member).empty();
    } else {
      return column.measured == Measured::kTime ? record.*member > 0 : record.*member >= 0;
    }
  };
  return std::visit(has_value, column.member);
}

}  // namespace

template <class Record>
std::string curves_csv_header(int64_t scales) {
  std::string numbers, vectors;
  for (const RecordColumn<Record>& column : record_columns<Record>()) {
    if (column.csv == nullptr) { continue; }
    if (!is_vector(column)) {
      numbers += cat(numbers.empty() ? "" : ",", column.csv);
      continue;
    }
    for (int64_t s = 0; s < scales; ++s) { vectors += cat(",", column.csv, s); }
  }
  return numbers + vectors;
}

template <class Record>
std::string curves_csv_row(const Record& record, int64_t scales) {
  std::string numbers, vectors;
  for (const RecordColumn<Record>& column : record_columns<Record>()) {
    if (column.csv == nullptr) { continue; }
    const auto append = [&]<class T>(T Record::*member) {
      if constexpr (std::is_same_v<T, Values>) {
        const Values& values = record.*member;
        for (size_t s = 0; s < static_cast<size_t>(scales); ++s) {
          vectors += "," + (s < values.size() ? csv_number(values[s]) : "");
        }
      } else {
        if (&column != &record_columns<Record>().front()) { numbers += ","; }
        if (is_measured(record, column)) { numbers += csv_number(record.*member); }
      }
    };
    std::visit(append, column.member);
  }
  return numbers + vectors;
}

template <class Record>
std::string curves_json(const Record& record) {
  Json j;
  for (const Measured measured :
       {Measured::kAlways, Measured::kCurves, Measured::kTime, Measured::kHeldOut, Measured::kEvaluation}) {
    for (const RecordColumn<Record>& column : record_columns<Record>()) {
      if (column.measured != measured || !is_measured(record, column)) { continue; }
      std::visit([&](auto member) { j[column.name] = record.*member; }, column.member);
    }
  }
  std::string line = checked_json_text(std::move(j), -1);
  line.pop_back();  // its end
  return line;
}

template <class Record>
void restore_from_curves(std::vector<Record>& log, const std::string& lines, const std::string& path) {
  std::istringstream in(lines);
  std::map<int64_t, Json> by_step;
  for (std::string line; std::getline(in, line);) {
    Json j = parse_json_if_valid(line);
    if (j.is_discarded() || take_checksum(j) == JsonCheck::kDiffers) {
      note(cat(path, ": a line was edited or is damaged; the times and distances in it are left out"));
      continue;
    }
    if (j.is_object() && j.contains("step") && j["step"].is_number_integer()) {
      by_step.emplace(j["step"].get<int64_t>(), j);
    }
  }
  for (Record& record : log) {
    const auto found = by_step.find(record.step);
    if (found == by_step.end()) { continue; }
    for (const RecordColumn<Record>& column : record_columns<Record>()) {
      if (column.measured != Measured::kTime && column.measured != Measured::kCurves) { continue; }
      if (is_measured(record, column)) { continue; }
      const Json value = found->second.value(column.name, Json());
      const auto restore = [&]<class T>(T Record::*member) {
        const bool fits = std::is_same_v<T, double> ? value.is_number() : value.is_number_integer();
        if (fits) { value.get_to(record.*member); }
      };
      std::visit(restore, column.member);
    }
  }
}

template <class Record>
CurveFiles<Record>::CurveFiles(const std::string& folder, int64_t scales)
    : folder_(folder), scales_(scales), csv_(curves_csv_header<Record>(scales) + "\n") {}

template <class Record>
Record CurveFiles<Record>::add(Record record) {
  if (record.step == last_step_) {
    std::vector<Record> again = {std::move(record)};
    restore_from_curves(again, jsonl_.substr(last_jsonl_), folder_ + "/curves.jsonl");
    record = std::move(again.front());
    csv_.resize(last_csv_);
    jsonl_.resize(last_jsonl_);
  }
  last_step_ = record.step;
  last_csv_ = csv_.size();
  last_jsonl_ = jsonl_.size();
  csv_ += curves_csv_row(record, scales_) + "\n";
  jsonl_ += curves_json(record) + "\n";
  return record;
}

template <class Record>
Record CurveFiles<Record>::add_earlier(std::vector<Record> log) {
  const std::string path = folder_ + "/curves.jsonl";
  if (std::filesystem::exists(path)) { restore_from_curves(log, read_file(path), path); }
  for (const Record& record : log) { add(record); }
  return log.empty() ? Record() : log.back();
}

template <class Record>
void CurveFiles<Record>::publish_sometimes() {
  if (Clock::now() - published_ > std::chrono::seconds(3)) { publish(); }
}

template <class Record>
void CurveFiles<Record>::publish() {
  if (last_step_ < 0 && !std::filesystem::exists(folder_ + "/curves.csv")) { return; }
  write_file(folder_ + "/curves.csv", csv_);
  write_file(folder_ + "/curves.jsonl", jsonl_);
  published_ = Clock::now();
}

template std::string curves_csv_header<VarStepRecord>(int64_t);
template std::string curves_csv_header<VqvaeStepRecord>(int64_t);
template std::string curves_csv_row(const VarStepRecord&, int64_t);
template std::string curves_csv_row(const VqvaeStepRecord&, int64_t);
template std::string curves_json(const VarStepRecord&);
template std::string curves_json(const VqvaeStepRecord&);
template void restore_from_curves(std::vector<VarStepRecord>&, const std::string&, const std::string&);
template void restore_from_curves(std::vector<VqvaeStepRecord>&, const std::string&, const std::string&);
template class CurveFiles<VarStepRecord>;
template class CurveFiles<VqvaeStepRecord>;

}  // namespace terrace

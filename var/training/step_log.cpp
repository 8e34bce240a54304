#include "var/training/step_log.h"

#include <algorithm>

#include "tensor/base/error.h"

namespace terrace {
namespace {

/// Calls f(name, member) for the members of type T that checkpoints hold: first those of every record, then those of
/// evaluations.
template <class T, class Record, class F>
void for_stored_members(const F& f) {
  for (const Measured measured : {Measured::kAlways, Measured::kHeldOut}) {
    for (const RecordColumn<Record>& column : record_columns<Record>()) {
      const auto* member = std::get_if<T Record::*>(&column.member);
      if (member != nullptr && column.measured == measured) { f(std::string(column.name), *member); }
    }
  }
}

template <class T>
void write_scalars(Hdf5File& file, const std::vector<VarStepRecord>& log) {
  for_stored_members<T, VarStepRecord>([&](const std::string& name, T VarStepRecord::*member) {
    std::vector<T> values;
    for (const VarStepRecord& record : log) { values.push_back(record.*member); }
    file.write("log/" + name, Tensor::from(values, {static_cast<int64_t>(log.size())}));
  });
}

template <class T>
void read_scalars(const Hdf5File& file, std::vector<VarStepRecord>& log) {
  for_stored_members<T, VarStepRecord>([&](const std::string& name, T VarStepRecord::*member) {
    const std::vector<T> values = file.read("log/" + name).template to_vector<T>();
    for (size_t r = 0; r < log.size(); ++r) { log[r].*member = values.at(r); }
  });
}

using Rows = std::vector<std::vector<double>>;

void write_rows(Hdf5File& file, const std::string& name, const Rows& rows) {
  if (rows.empty() || rows[0].empty()) { return; }
  std::vector<double> flat;
  for (const std::vector<double>& row : rows) { flat.insert(flat.end(), row.begin(), row.end()); }
  file.write(name, Tensor::from(flat, {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())}));
}

Rows read_rows(const Hdf5File& file, const std::string& name) {
  Rows rows;
  if (!file.has(name)) { return rows; }
  const Tensor t = file.read(name, DType::kF64);
  check_ndim(t, 2, "checkpoint", name.c_str());
  for (int64_t i = 0; i < t.dim(0); ++i) { rows.push_back(t.select(0, i).to_vector<double>()); }
  return rows;
}

/// Calls f(record.*member) for the scalars of a row of GROUP/values, in the order of its columns.
template <class Record, class F>
void for_values(Record& record, const F& f) {
  using Plain = std::remove_const_t<Record>;
  for_stored_members<int64_t, Plain>([&](const std::string&, int64_t Plain::*member) { f(record.*member); });
  for_stored_members<double, Plain>([&](const std::string&, double Plain::*member) { f(record.*member); });
}

}  // namespace

void write_var_log(Hdf5File& file, const std::vector<VarStepRecord>& log) {
  write_scalars<int64_t>(file, log);
  write_scalars<double>(file, log);
  using Values = std::vector<double>;
  for_stored_members<Values, VarStepRecord>([&](const std::string& name, Values VarStepRecord::*member) {
    size_t width = 0;
    for (const VarStepRecord& record : log) { width = std::max(width, (record.*member).size()); }
    Values values;
    for (const VarStepRecord& record : log) {
      Values row = record.*member;
      row.resize(width, -1);  // -1: not measured at this step
      values.insert(values.end(), row.begin(), row.end());
    }
    file.write("log/" + name, Tensor::from(values, {static_cast<int64_t>(log.size()), static_cast<int64_t>(width)}));
  });
}

std::vector<VarStepRecord> read_var_log(const Hdf5File& file) {
  std::vector<VarStepRecord> log(static_cast<size_t>(file.read("log/step").numel()));
  read_scalars<int64_t>(file, log);
  read_scalars<double>(file, log);
  using Values = std::vector<double>;
  for_stored_members<Values, VarStepRecord>([&](const std::string& name, Values VarStepRecord::*member) {
    const Tensor table = file.read("log/" + name);
    for (size_t r = 0; r < log.size() && table.dim(1) > 0; ++r) {
      Values row = table.select(0, static_cast<int64_t>(r)).to_vector<double>();
      const bool measured = row.front() != -1;
      if (measured) { log[r].*member = std::move(row); }
    }
  });
  return log;
}

template <class Record>
void write_table(Hdf5File& file, const std::string& group, const std::vector<Record>& records) {
  Rows values;
  for (const Record& record : records) {
    values.emplace_back();
    for_values(record, [&](auto value) { values.back().push_back(static_cast<double>(value)); });
  }
  write_rows(file, group + "/values", values);
  for_stored_members<std::vector<double>, Record>([&](const std::string& name, std::vector<double> Record::*member) {
    Rows rows;
    for (const Record& record : records) { rows.push_back(record.*member); }
    write_rows(file, group + "/" + name, rows);
  });
}

template <class Record>
std::vector<Record> read_table(const Hdf5File& file, const std::string& group) {
  const Rows values = read_rows(file, group + "/values");
  std::vector<Record> records(values.size());
  for (size_t r = 0; r < records.size(); ++r) {
    size_t width = 0;
    for_values(records[r], [&](auto&) { ++width; });
    if (values[r].size() != width) { throw IoError(cat(file.path(), ": ", group, "/values: wrong width")); }
    size_t column = 0;
    for_values(records[r], [&]<class T>(T& value) { value = static_cast<T>(values[r][column++]); });
  }
  for_stored_members<std::vector<double>, Record>([&](const std::string& name, std::vector<double> Record::*member) {
    const Rows rows = read_rows(file, group + "/" + name);
    for (size_t r = 0; r < std::min(rows.size(), records.size()); ++r) { records[r].*member = rows[r]; }
  });
  return records;
}

template void write_table(Hdf5File&, const std::string&, const std::vector<VqvaeStepRecord>&);
template void write_table(Hdf5File&, const std::string&, const std::vector<VqvaeEvaluation>&);
template std::vector<VqvaeStepRecord> read_table(const Hdf5File&, const std::string&);
template std::vector<VqvaeEvaluation> read_table(const Hdf5File&, const std::string&);

}  // namespace terrace

// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// A potential as one file: named arrays of numbers, and a checksum at the end.
#ifndef IONLOOP_MODEL_FILE_HPP
#define IONLOOP_MODEL_FILE_HPP

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ionloop {

class ModelFile {
 public:
  // Throws std::runtime_error where the file cannot be read, is damaged, or of another version.
  explicit ModelFile(const std::string &path);

  bool has(const std::string &name) const;
  const std::vector<double> &reals(const std::string &name) const;
  const std::vector<std::int64_t> &integers(const std::string &name) const;
  double real(const std::string &name) const { return reals(name).at(0); }
  std::int64_t integer(const std::string &name) const { return integers(name).at(0); }

 private:
  std::string path_;
  std::map<std::string, std::vector<double>> reals_;
  std::map<std::string, std::vector<std::int64_t>> integers_;
};

}    // namespace ionloop

#endif

// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "model_file.hpp"

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace ionloop {

namespace {

const char *const FIRST_LINE = "ionloop-potential 1";

std::uint32_t checksum(const char *data, std::size_t length)
{
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t n = 0; n < 256; n++) {
    std::uint32_t c = n;
    for (int k = 0; k < 8; k++) c = (c & 1) ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    table[n] = c;
  }
  std::uint32_t crc = 0xFFFFFFFFu;
  for (std::size_t i = 0; i < length; i++)
    crc = table[(crc ^ static_cast<unsigned char>(data[i])) & 0xFF] ^ (crc >> 8);
  return crc ^ 0xFFFFFFFFu;
}

}    // namespace

ModelFile::ModelFile(const std::string &path) : path_(path)
{
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("the potential " + path + " cannot be read");
  const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::size_t place = 0;
  auto line = [&]() {
    const std::size_t end = content.find('\n', place);
    if (end == std::string::npos) throw std::runtime_error("the potential " + path + " is damaged: it ends too early");
    std::string found = content.substr(place, end - place);
    place = end + 1;
    return found;
  };
  const std::string first = line();
  if (first != FIRST_LINE)
    throw std::runtime_error("the file " + path + " is no potential that this plug-in reads: write it with `ionloop "
                             "lammps export` of the release that built the plug-in");
  while (true) {
    const std::size_t start = place;
    std::istringstream words(line());
    std::string name, type;
    words >> name >> type;
    if (name == "end") {
      if (std::stoul(type, nullptr, 16) != checksum(content.data(), start))
        throw std::runtime_error("the potential " + path + " is damaged: its checksum differs");
      return;
    }
    std::size_t count = 0;
    words >> count;
    if (!words || content.size() - place < 8 * count)
      throw std::runtime_error("the potential " + path + " is damaged: it ends too early");
    void *target;
    if (type == "f8") {
      reals_[name].resize(count);
      target = reals_[name].data();
    } else {
      integers_[name].resize(count);
      target = integers_[name].data();
    }
    if (count) std::memcpy(target, content.data() + place, 8 * count);
    place += 8 * count;
  }
}

bool ModelFile::has(const std::string &name) const
{
  return reals_.count(name) || integers_.count(name);
}

const std::vector<double> &ModelFile::reals(const std::string &name) const
{
  const auto found = reals_.find(name);
  if (found == reals_.end()) throw std::runtime_error("the potential " + path_ + " has no " + name);
  return found->second;
}

const std::vector<std::int64_t> &ModelFile::integers(const std::string &name) const
{
  const auto found = integers_.find(name);
  if (found == integers_.end()) throw std::runtime_error("the potential " + path_ + " has no " + name);
  return found->second;
}

}    // namespace ionloop

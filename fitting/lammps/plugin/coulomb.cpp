// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "coulomb.hpp"

#include <algorithm>
#include <cmath>

namespace ionloop {

namespace {

constexpr std::size_t BATCH = 256;

struct Wave {
  int h, k, l;
  double g[3], weight;    // 1/A, and (4 pi k_e / V) exp(-G^2/4a^2)/G^2, twice that for the half that is left out
};

// exp(2 pi i n s) of a batch for n from lowest to highest, each [BATCH].
struct Phases {
  int lowest = 0;
  std::vector<double> real, imaginary;

  void fill(const double *s, std::size_t n, int lowest_, int highest)
  {
    lowest = lowest_;
    const std::size_t count = highest - lowest + 1;
    real.resize(count * BATCH);
    imaginary.resize(count * BATCH);
    for (int index = lowest; index <= highest; index++)
      for (std::size_t i = 0; i < n; i++) {
        const double angle = 2.0 * M_PI * index * (s[i] - std::floor(s[i]));
        re(index)[i] = std::cos(angle);
        im(index)[i] = std::sin(angle);
      }
  }
  double *re(int index) { return real.data() + (index - lowest) * BATCH; }
  double *im(int index) { return imaginary.data() + (index - lowest) * BATCH; }
};

}    // namespace

Coulomb::Coulomb(const ModelFile &file)
    : local_(file.integer("coulomb.local") != 0), table_(file.reals("coulomb.table")), own_(file.reals("coulomb.own")),
      constants_(file.reals("coulomb.constants"))
{
  const auto &limits = file.reals("coulomb.limits");
  alpha_ = limits.at(0);
  cutoff_ = limits.at(1);
  reciprocal_cutoff_ = limits.at(2);
  shortest_ = limits.at(3);
  pieces_per_A_ = limits.at(4);
  constant_eV_A_ = limits.at(5);
  n_kinds_ = static_cast<int>(own_.size());
  n_pieces_ = table_.size() / (6 * n_kinds_ * n_kinds_);
  for (int number = 0; number < ALL_NUMBERS; number++)
    kind_of_[number] = static_cast<int>(file.integers("coulomb.kind_of").at(number));
}

double Coulomb::pair(int first, int second, double r, double &slope) const
{
  const double place = (r - shortest_) * pieces_per_A_;
  const std::size_t piece = std::min(static_cast<std::size_t>(place), n_pieces_ - 1);
  const double t = place - piece;
  const double *c = table_.data() + 6 * ((static_cast<std::size_t>(first) * n_kinds_ + second) * n_pieces_ + piece);
  slope = pieces_per_A_ * (c[1] + t * (2.0 * c[2] + t * (3.0 * c[3] + t * (4.0 * c[4] + t * 5.0 * c[5]))));
  return c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * (c[4] + t * c[5]))));
}

void Coulomb::far(const ChargedAtoms &atoms, const double (&cell)[3][3],
                  const std::function<void(double *, int)> &sum, bool with_virials, FarField &field) const
{
  const std::size_t n = atoms.size();
  const auto cross = [](const double *a, const double *b, double *out) {
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
  };
  double inverse[3][3];    // rows are reciprocal vectors without 2 pi
  for (int row = 0; row < 3; row++) cross(cell[(row + 1) % 3], cell[(row + 2) % 3], inverse[row]);
  const double volume = cell[0][0] * inverse[0][0] + cell[0][1] * inverse[0][1] + cell[0][2] * inverse[0][2];
  int highest[3];
  for (int row = 0; row < 3; row++) {
    for (int axis = 0; axis < 3; axis++) inverse[row][axis] /= volume;
    const double length = std::sqrt(cell[row][0] * cell[row][0] + cell[row][1] * cell[row][1] + cell[row][2] * cell[row][2]);
    highest[row] = static_cast<int>(reciprocal_cutoff_ * length / (2.0 * M_PI));
  }
  std::vector<Wave> waves;
  for (int h = 0; h <= highest[0]; h++)
    for (int k = h ? -highest[1] : 0; k <= highest[1]; k++)
      for (int l = h || k ? -highest[2] : 1; l <= highest[2]; l++) {
        Wave wave{h, k, l, {0, 0, 0}, 0};
        double square = 0.0;
        for (int axis = 0; axis < 3; axis++) {
          wave.g[axis] = 2.0 * M_PI * (h * inverse[0][axis] + k * inverse[1][axis] + l * inverse[2][axis]);
          square += wave.g[axis] * wave.g[axis];
        }
        if (square > reciprocal_cutoff_ * reciprocal_cutoff_) continue;
        wave.weight = 8.0 * M_PI * constant_eV_A_ / volume * std::exp(-square / (4.0 * alpha_ * alpha_)) / square;
        waves.push_back(wave);
      }
  std::vector<double> sums(2 * waves.size() + 2, 0.0);
  Phases first, second, third;
  std::vector<double> s(3 * BATCH), real(BATCH), imaginary(BATCH);
  const auto fill = [&](std::size_t start, std::size_t count) {
    for (int row = 0; row < 3; row++)
      for (std::size_t i = 0; i < count; i++) {
        const double *x = atoms.positions.data() + 3 * (start + i);
        s[row * BATCH + i] = inverse[row][0] * x[0] + inverse[row][1] * x[1] + inverse[row][2] * x[2];
      }
    first.fill(s.data(), count, 0, highest[0]);
    second.fill(s.data() + BATCH, count, -highest[1], highest[1]);
    third.fill(s.data() + 2 * BATCH, count, -highest[2], highest[2]);
  };
  // The first two factors of a wave, kept while they stay the same; times the charges.
  const auto plane = [&](const Wave &wave, std::size_t start, std::size_t count) {
    const double *a = first.re(wave.h), *b = first.im(wave.h), *c = second.re(wave.k), *d = second.im(wave.k);
    const double *q = atoms.charges.data() + start;
    for (std::size_t i = 0; i < count; i++) {
      real[i] = q[i] * (a[i] * c[i] - b[i] * d[i]);
      imaginary[i] = q[i] * (a[i] * d[i] + b[i] * c[i]);
    }
  };
  for (std::size_t start = 0; start < n; start += BATCH) {
    const std::size_t count = std::min(BATCH, n - start);
    fill(start, count);
    for (std::size_t w = 0; w < waves.size(); w++) {
      if (!w || waves[w].h != waves[w - 1].h || waves[w].k != waves[w - 1].k) plane(waves[w], start, count);
      const double *c = third.re(waves[w].l), *d = third.im(waves[w].l);
      double re = 0.0, im = 0.0;
      for (std::size_t i = 0; i < count; i++) {
        re += real[i] * c[i] - imaginary[i] * d[i];
        im += real[i] * d[i] + imaginary[i] * c[i];
      }
      sums[2 * w] += re;
      sums[2 * w + 1] += im;
    }
  }
  double &total = sums[2 * waves.size()], &squares = sums[2 * waves.size() + 1];
  for (std::size_t i = 0; i < n; i++) {
    total += atoms.charges[i];
    squares += atoms.charges[i] * atoms.charges[i] * (own_[atoms.kinds[i]] - 2.0 * constant_eV_A_ * alpha_ / std::sqrt(M_PI));
  }
  sum(sums.data(), static_cast<int>(sums.size()));

  const double background = constant_eV_A_ * M_PI / (volume * alpha_ * alpha_);
  field.energy = 0.5 * squares - 0.5 * background * total * total;
  std::fill_n(field.virial, 6, 0.0);
  for (int axis = 0; axis < 3; axis++) field.virial[axis] = -0.5 * background * total * total;
  std::vector<std::array<double, 6>> stresses(waves.size());
  for (std::size_t w = 0; w < waves.size(); w++) {
    const Wave &wave = waves[w];
    const double energy = 0.5 * wave.weight * (sums[2 * w] * sums[2 * w] + sums[2 * w + 1] * sums[2 * w + 1]);
    const double square = wave.g[0] * wave.g[0] + wave.g[1] * wave.g[1] + wave.g[2] * wave.g[2];
    const double bend = 2.0 * (1.0 / square + 1.0 / (4.0 * alpha_ * alpha_));
    const int axes[6][2] = {{0, 0}, {1, 1}, {2, 2}, {0, 1}, {0, 2}, {1, 2}};
    for (int v = 0; v < 6; v++) {
      stresses[w][v] = (v < 3 ? 1.0 : 0.0) - bend * wave.g[axes[v][0]] * wave.g[axes[v][1]];
      field.virial[v] += energy * stresses[w][v];
    }
    field.energy += energy;
  }
  field.potentials.assign(n, 0.0);
  field.forces.assign(3 * n, 0.0);
  field.virials.assign(with_virials ? 6 * n : 0, 0.0);
  std::vector<double> even(BATCH), odd(BATCH);
  for (std::size_t start = 0; start < n; start += BATCH) {
    const std::size_t count = std::min(BATCH, n - start);
    fill(start, count);
    for (std::size_t w = 0; w < waves.size(); w++) {
      const Wave &wave = waves[w];
      if (!w || wave.h != waves[w - 1].h || wave.k != waves[w - 1].k) {
        const double *a = first.re(wave.h), *b = first.im(wave.h), *c = second.re(wave.k), *d = second.im(wave.k);
        for (std::size_t i = 0; i < count; i++) {
          real[i] = a[i] * c[i] - b[i] * d[i];
          imaginary[i] = a[i] * d[i] + b[i] * c[i];
        }
      }
      const double *c = third.re(wave.l), *d = third.im(wave.l);
      const double re = wave.weight * sums[2 * w], im = wave.weight * sums[2 * w + 1];
      double *potentials = field.potentials.data() + start, *forces = field.forces.data() + 3 * start;
      for (std::size_t i = 0; i < count; i++) {
        const double er = real[i] * c[i] - imaginary[i] * d[i], ei = real[i] * d[i] + imaginary[i] * c[i];
        even[i] = re * er + im * ei;
        odd[i] = re * ei - im * er;
        potentials[i] += even[i];
      }
      for (std::size_t i = 0; i < count; i++)
        for (int axis = 0; axis < 3; axis++) forces[3 * i + axis] += wave.g[axis] * odd[i];
      if (with_virials)
        for (std::size_t i = 0; i < count; i++)
          for (int v = 0; v < 6; v++)
            field.virials[6 * (start + i) + v] += 0.5 * atoms.charges[start + i] * even[i] * stresses[w][v];
    }
  }
  for (std::size_t i = 0; i < n; i++) {
    const double q = atoms.charges[i];
    for (int axis = 0; axis < 3; axis++) field.forces[3 * i + axis] *= q;
    field.potentials[i] += q * (own_[atoms.kinds[i]] - 2.0 * constant_eV_A_ * alpha_ / std::sqrt(M_PI)) - background * total;
    if (with_virials)
      for (int axis = 0; axis < 3; axis++) field.virials[6 * i + axis] -= 0.5 * background * total * q;
  }
}

}    // namespace ionloop

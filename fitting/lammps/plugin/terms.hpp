// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// The terms of a GAP, for the atoms that a process has and all of their neighbours. No LAMMPS in here.
#ifndef IONLOOP_TERMS_HPP
#define IONLOOP_TERMS_HPP

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "model_file.hpp"
#include "products.hpp"

namespace ionloop {

constexpr int ALL_NUMBERS = 120;

// Neighbours of some atoms within the potential's cutoff, every pair seen from each of its atoms.
struct Pairs {
  std::vector<int> numbers;          // atomic number of each central atom [n]
  std::vector<std::size_t> starts;   // of its pairs [n + 1]
  std::vector<int> second;           // whatever the caller knows neighbours by [n_pairs]
  std::vector<int> second_numbers;   // their atomic numbers [n_pairs]
  std::vector<double> vectors;       // to the neighbour, A [n_pairs, 3]
  std::vector<double> distances;     // A [n_pairs]

  std::size_t size() const { return numbers.size(); }
  void clear()
  {
    numbers.clear();
    starts.assign(1, 0);
    second.clear();
    second_numbers.clear();
    vectors.clear();
    distances.clear();
  }
};

// What is filled: energies of the central atoms (eV) and gradients of these on the pairs (eV/A).
struct Sums {
  std::vector<double> energies, gradients;
};

class PairTerm {
 public:
  PairTerm(const ModelFile &file, const std::string &name);
  void add(const Pairs &pairs, double scale, Sums &sums) const;

 private:
  int first_, second_;
  double cutoff_, width_, tail_exponent_, tail_range_, pieces_per_A_;
  std::vector<double> table_;
};

// Embedded-atom and pair potentials of splines.
class GlueTerm {
 public:
  explicit GlueTerm(const ModelFile &file);
  void add(const Pairs &pairs, Sums &sums) const;

 private:
  struct Spline {
    bool exists = false;
    double cutoff = 0.0;
    std::vector<double> pieces;
    double value(double x, double &slope) const;
  };
  static Spline read(const ModelFile &file, const std::string &name);
  std::vector<Spline> pairs_;                  // [ALL_NUMBERS * ALL_NUMBERS], by both numbers
  std::vector<Spline> densities_, embeddings_;    // by number
  bool embeds_ = false;
};

// Working space of one evaluation.
struct SoapWork {
  std::vector<double> channels, left, right, spectrum, norms, products, slopes, spectrum_slopes, adjoint, packed;
  std::vector<double> powers;
  std::vector<std::size_t> atoms;
};

class SoapTerm {
 public:
  SoapTerm(const ModelFile &file, const std::string &name);
  bool is_central(int number) const { return central_[number]; }
  bool has_second() const { return !second_.empty(); }
  bool has_variance() const { return factor_.depth() > 0; }

  // For the central atoms work.atoms: energies (eV), and the second sums where wanted.
  void begin(const Pairs &pairs, double scale, SoapWork &work, double *energies, double *second) const;
  // Adds gradients of the energy, and of factors[i] (eV) times the second sums; variances (eV^2) where wanted.
  void finish(const Pairs &pairs, double scale, SoapWork &work, const double *factors, double *gradients,
              double *variances) const;

 private:
  void expand(const Pairs &pairs, SoapWork &work) const;
  void spectrum(SoapWork &work) const;
  void mixed_spectrum(SoapWork &work) const;
  void adjoint(SoapWork &work) const;
  void mixed_adjoint(SoapWork &work) const;
  void pair_gradients(const Pairs &pairs, double scale, const SoapWork &work, double *gradients) const;
  void add_variances(double scale, SoapWork &work, double *variances) const;

  int n_max_, l_max_, n_lm_, n_channels_, stride_, n_functions_, function_stride_, n_products_, n_left_, n_right_;
  bool normalise_, plain_, mixed_;
  double cutoff_, width_, pieces_per_A_, zeta_;
  std::size_t n_components_, n_points_;
  std::vector<double> table_, prefactors_, factors_, central_parts_, constants_, weights_, second_;
  std::vector<double> mix_left_, mix_right_, linear_, linear_second_;
  double linear_constant_ = 0.0, linear_second_constant_ = 0.0;
  std::vector<std::int64_t> run_left_, run_right_, run_lengths_;
  std::array<bool, ALL_NUMBERS> central_;
  std::array<int, ALL_NUMBERS> channel_of_;
  Panels to_points_, from_points_, factor_;
  std::vector<double> covariance_weights_;
  double prior_ = 0.0;
};

}    // namespace ionloop

#endif

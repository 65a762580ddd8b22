// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// The Coulomb energy of charge clouds in a periodic cell: an Ewald sum (Ann. Phys. 1921, 369, 253,
// 10.1002/andp.19213690304) and in real space what finite clouds change.
#ifndef IONLOOP_COULOMB_HPP
#define IONLOOP_COULOMB_HPP

#include <array>
#include <functional>
#include <vector>

#include "model_file.hpp"
#include "terms.hpp"

namespace ionloop {

// Of the atoms that a process has.
struct ChargedAtoms {
  std::vector<double> positions;    // A [n, 3]
  std::vector<double> charges;      // e [n]
  std::vector<int> kinds;           // [n]

  std::size_t size() const { return charges.size(); }
};

// Filled for these atoms; energy and virial are those of all processes together.
struct FarField {
  double energy = 0.0;                  // eV
  double virial[6] = {0, 0, 0, 0, 0, 0};    // eV, xx yy zz xy xz yz
  std::vector<double> potentials;       // eV/e [n]
  std::vector<double> forces;           // eV/A [n, 3]
  std::vector<double> virials;          // of the atoms, where wanted [n, 6]
};

class Coulomb {
 public:
  explicit Coulomb(const ModelFile &file);
  double cutoff() const { return cutoff_; }
  // Whether the mean of all charges is taken off, so that the cell is neutral.
  bool follows_environment() const { return local_; }
  int kind(int number) const { return kind_of_[number]; }
  double constant(int kind) const { return constants_[kind]; }
  // Shortest distance of two atoms that means something, A.
  double shortest() const { return shortest_; }

  // Energy of two unit charges (eV/e^2), screened and of finite clouds, and its derivative by the distance.
  double pair(int first, int second, double r, double &slope) const;

  // The rest: reciprocal sum, clouds with themselves, background. cell: rows are lattice vectors, A. sum adds up a
  // row of numbers over all processes.
  void far(const ChargedAtoms &atoms, const double (&cell)[3][3], const std::function<void(double *, int)> &sum,
           bool with_virials, FarField &field) const;

 private:
  bool local_;
  double alpha_, cutoff_, reciprocal_cutoff_, shortest_, pieces_per_A_, constant_eV_A_;
  int n_kinds_;
  std::size_t n_pieces_;
  std::array<int, ALL_NUMBERS> kind_of_;
  std::vector<double> table_, own_, constants_;
};

}    // namespace ionloop

#endif

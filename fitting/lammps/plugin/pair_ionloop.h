/* -*- c++ -*- SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later */
#ifdef PAIR_CLASS
// clang-format off
PairStyle(ionloop,PairIonloop);
// clang-format on
#else

#ifndef LMP_PAIR_IONLOOP_H
#define LMP_PAIR_IONLOOP_H

#include <memory>
#include <vector>

#include "coulomb.hpp"
#include "pair.h"
#include "terms.hpp"

namespace LAMMPS_NS {

class PairIonloop : public Pair {
 public:
  PairIonloop(class LAMMPS *);
  ~PairIonloop() override;
  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  double memory_usage() override;
  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &) override;

 private:
  struct Block;
  void allocate();
  void gather(int, int, Block &) const;
  void begin(Block &, double *) const;
  void finish(Block &, const double *, bool);
  void scatter(const Block &);
  void charges(const std::vector<double> &, std::vector<double> &);
  void near_field(std::vector<double> &);
  void far_field(std::vector<double> &);

  std::vector<ionloop::PairTerm> pair_terms;
  std::vector<ionloop::SoapTerm> soap_terms;
  std::unique_ptr<ionloop::GlueTerm> glue;
  std::unique_ptr<ionloop::Coulomb> coulomb;
  std::vector<int> number_of_type;
  std::vector<double> isolated;
  double cutoff = 0.0, energy_scale = 1.0, unit_factor = 1.0;

  std::vector<double> charge;      // of own atoms and ghosts, e
  int variance_flag = 0;           // set by fix pair
  int variance_size = 0;
  double *variance = nullptr;      // of own atoms, eV^2
};

}    // namespace LAMMPS_NS

#endif
#endif

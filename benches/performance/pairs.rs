//! Two things measured in turn, so that what else the machine does falls on both; and what their ratio is.

use serde::Serialize;

/// How often the pairs are drawn anew to see how far their ratio may be by chance.
const DRAWS: usize = 2000;

/// The ratio of two things.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratio {
    /// The median of the pairs' ratios.
    pub median: f64,
    /// Where 95 of 100 medians lie when pairs are drawn at random from those that were measured (bootstrap).
    pub low: f64,
    /// The other end.
    pub high: f64,
}

/// Measures `one` and `other` as often as `rounds` says, each first in every second round.
pub fn in_pairs(
    rounds: usize,
    mut one: impl FnMut() -> f64,
    mut other: impl FnMut() -> f64,
) -> Vec<(f64, f64)> {
    let pair = |round: usize| {
        if round.is_multiple_of(2) {
            let first = one();
            (first, other())
        } else {
            let second = other();
            (one(), second)
        }
    };
    (0..rounds).map(pair).collect()
}

/// The ratio of the first of each pair to the second.
pub fn ratio(pairs: &[(f64, f64)]) -> Ratio {
    let ratios: Vec<f64> = pairs.iter().map(|(one, other)| one / other).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let draw = |random: &mut Random| median((0..ratios.len()).map(|_| ratios[random.below(ratios.len())]));
    let mut medians: Vec<f64> = (0..DRAWS).map(|_| draw(&mut random)).collect();
    medians.sort_by(f64::total_cmp);
    Ratio {
        median: median(ratios.iter().copied()),
        low: medians[DRAWS * 25 / 1000],
        high: medians[DRAWS * 975 / 1000],
    }
}

/// The median; of an even number, the larger of the two in the middle.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Xorshift: the same draws in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

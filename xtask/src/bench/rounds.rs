//! The protocol: rounds of roof, kernel, roof, and what is believed of them.
//!
//! The machine may be shared and its speed may drift, so only ratios taken within a fraction of a
//! second count. Kernels to be compared take turns inside each round.

use super::roofs::{Rates, Roof};

/// Rounds that every kernel runs.
const ROUNDS: usize = 7;
/// Kept rounds below which a result is not steady; further rounds are tried to get there.
const STEADY_ROUNDS: usize = 5;
/// Rounds after which no more are tried.
const MOST_ROUNDS: usize = 14;
/// How far the two roofs of a round may lie apart, relative to the faster.
const ROOF_TOLERANCE: f64 = 0.05;
/// A share above this cannot be true.
const FAULTY_SHARE: f64 = 1.05;

/// What one call of a kernel has to do at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) macs: u64,
    pub(crate) bytes: u64,
}

/// Which limit is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoundBy {
    Memory,
    Compute,
}

/// The least seconds that one call can take: the roofline, `max(bytes/bandwidth, MACs/peak)`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound {
    memory: Option<f64>,
    compute: Option<f64>,
}

impl Bound {
    fn of(work: Work, rates: Rates) -> Self {
        Self {
            memory: rates.bytes_per_second.map(|rate| work.bytes as f64 / rate),
            compute: rates.macs_per_second.map(|rate| work.macs as f64 / rate),
        }
    }

    fn seconds(self) -> Option<f64> {
        [self.memory, self.compute].into_iter().flatten().reduce(f64::max)
    }
}

/// One round: the rates before and after, and the seconds of a call between them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) before: Rates,
    pub(crate) after: Rates,
    pub(crate) seconds: f64,
}

impl Round {
    /// Whether the machine kept its speed from roof to roof. Without a roof that is not known here.
    fn is_kept(&self, work: Work) -> bool {
        let [before, after] = [self.before, self.after].map(|r| Bound::of(work, r).seconds());
        match (before, after) {
            (Some(before), Some(after)) => {
                (before - after).abs() <= ROOF_TOLERANCE * before.min(after)
            }
            _ => true,
        }
    }

    fn share(&self, work: Work, limit: impl Fn(Bound) -> Option<f64>) -> Option<f64> {
        let [before, after] = [self.before, self.after].map(|rates| limit(Bound::of(work, rates)));
        Some((before? + after?) / 2.0 / self.seconds)
    }
}

/// What the rounds of one kernel say, each number a median over the rounds kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    /// Of the roofline: the tighter of the limits that were measured.
    pub(crate) share: Option<f64>,
    pub(crate) share_memory: Option<f64>,
    pub(crate) share_compute: Option<f64>,
    pub(crate) bound: Option<BoundBy>,
    pub(crate) roof_bytes_per_second: Option<f64>,
    pub(crate) roof_macs_per_second: Option<f64>,
    pub(crate) rounds: usize,
    pub(crate) kept: usize,
    pub(crate) steady: bool,
    /// The share is larger than any kernel's can be: the measuring is at fault.
    pub(crate) fault: bool,
}

impl Measured {
    /// Draws the conclusion from at least one round.
    pub(crate) fn of(work: Work, rounds: &[Round]) -> Self {
        let kept = kept(work, rounds);
        let used = if kept.is_empty() { rounds } else { &kept };
        let median_of = |number: &dyn Fn(&Round) -> Option<f64>| {
            used.iter().map(number).collect::<Option<Vec<_>>>().and_then(median)
        };
        let share = median_of(&|r| r.share(work, Bound::seconds));
        let share_memory = median_of(&|r| r.share(work, |bound| bound.memory));
        let share_compute = median_of(&|r| r.share(work, |bound| bound.compute));
        let bound = match (share_memory, share_compute) {
            (None, None) => None,
            (memory, compute) if memory >= compute => Some(BoundBy::Memory),
            _ => Some(BoundBy::Compute),
        };
        Self {
            seconds: median_of(&|r| Some(r.seconds)).unwrap_or(f64::NAN),
            share,
            share_memory,
            share_compute,
            bound,
            roof_bytes_per_second: median_of(&|r| r.after.bytes_per_second),
            roof_macs_per_second: median_of(&|r| r.after.macs_per_second),
            rounds: rounds.len(),
            kept: kept.len(),
            steady: kept.len() >= STEADY_ROUNDS,
            fault: share.is_some_and(|share| share > FAULTY_SHARE),
        }
    }
}

/// The rounds to believe. Where there is no roof, those whose time lies near the median.
fn kept(work: Work, rounds: &[Round]) -> Vec<Round> {
    let middle = median(rounds.iter().map(|r| r.seconds).collect()).unwrap_or(f64::NAN);
    let no_roof = |r: &Round| Bound::of(work, r.before).seconds().is_none();
    let near = |r: &Round| (r.seconds - middle).abs() <= ROOF_TOLERANCE * middle;
    let keep = |r: &&Round| if no_roof(r) { near(r) } else { r.is_kept(work) };
    rounds.iter().filter(keep).copied().collect()
}

/// The middle of the numbers, or the mean of the two in the middle; `None` for no numbers.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// What times roofs and kernels.
pub(crate) trait Stopwatch {
    type Error;

    /// Measures a roof.
    fn roof(&mut self, roof: Roof) -> Rates;

    /// Seconds of one call of a kernel, called over and over.
    fn kernel(&mut self, contestant: usize) -> Result<f64, Self::Error>;
}

/// Kernels, each with its roof and its work, that take turns round by round. A roof that ends one
/// kernel's turn begins the next one's where both have the same roof.
pub(crate) struct Alternation<'a> {
    contestants: &'a [(Roof, Work)],
    rounds: Vec<Vec<Round>>,
    /// Rounds begun.
    begun: usize,
    last: Option<(Roof, Rates)>,
}

impl<'a> Alternation<'a> {
    pub(crate) fn new(contestants: &'a [(Roof, Work)]) -> Self {
        let rounds = vec![Vec::new(); contestants.len()];
        Self { contestants, rounds, begun: 0, last: None }
    }

    /// The number of the next round, counted from 0, if it is one that every kernel runs.
    pub(crate) fn common_round(&self) -> Option<usize> {
        (self.begun < ROUNDS).then_some(self.begun)
    }

    /// Whether some kernel has to run again, if time allows.
    pub(crate) fn goes_on(&self) -> bool {
        let is_unsteady = |index| !self.is_steady(index);
        self.common_round().is_some()
            || self.begun < MOST_ROUNDS && (0..self.rounds.len()).any(is_unsteady)
    }

    /// Whether a kernel has enough good rounds.
    fn is_steady(&self, index: usize) -> bool {
        kept(self.contestants[index].1, &self.rounds[index]).len() >= STEADY_ROUNDS
    }

    /// Something else ran since the last round: its last roof is no longer fresh.
    pub(crate) fn interrupt(&mut self) {
        self.last = None;
    }

    /// Runs one round: all kernels, or after the common ones those that have too few good rounds, as
    /// long as `may_retry` allows it.
    pub(crate) fn round<S: Stopwatch>(
        &mut self,
        stopwatch: &mut S,
        may_retry: impl Fn() -> bool,
    ) -> Result<(), S::Error> {
        let is_common = self.common_round().is_some();
        self.begun += 1;
        for (index, &(roof, _)) in self.contestants.iter().enumerate() {
            if !is_common && (self.is_steady(index) || !may_retry()) {
                continue;
            }
            let before = match self.last {
                Some((known, rates)) if known == roof => rates,
                _ => stopwatch.roof(roof),
            };
            let seconds = stopwatch.kernel(index)?;
            let after = stopwatch.roof(roof);
            self.last = Some((roof, after));
            self.rounds[index].push(Round { before, after, seconds });
        }
        Ok(())
    }

    /// What the rounds say of each kernel.
    pub(crate) fn measured(&self) -> Vec<Measured> {
        let measured =
            |(&(_, work), rounds): (&(Roof, Work), &Vec<Round>)| Measured::of(work, rounds);
        self.contestants.iter().zip(&self.rounds).map(measured).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work { macs: 1000, bytes: 100 };

    fn rates(bytes: impl Into<Option<f64>>, macs: impl Into<Option<f64>>) -> Rates {
        Rates { bytes_per_second: bytes.into(), macs_per_second: macs.into() }
    }

    fn round(before: f64, after: f64, seconds: f64) -> Round {
        Round { before: rates(before, None), after: rates(after, None), seconds }
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_middles() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 10.0]), Some(3.0));
    }

    #[test]
    fn rounds_whose_roofs_differ_by_more_than_a_twentieth_are_dropped() {
        let mut rounds = vec![round(100.0, 104.9, 2.0); 5];
        rounds.extend([round(100.0, 106.0, 50.0), round(106.0, 100.0, 50.0)]);
        let measured = Measured::of(WORK, &rounds);
        assert_eq!((measured.rounds, measured.kept, measured.steady), (7, 5, true));
        assert_eq!(measured.seconds, 2.0);
        let share = (1.0 + 100.0 / 104.9) / 2.0 / 2.0;
        assert!((measured.share.unwrap() - share).abs() < 1e-12);
        rounds[0] = round(100.0, 50.0, 2.0);
        assert!(!Measured::of(WORK, &rounds).steady);
    }

    #[test]
    fn the_share_is_of_the_tighter_limit_and_names_it() {
        // 100 bytes take 1 s, 1000 multiply-accumulates 4 s: compute bounds.
        let both = rates(100.0, 250.0);
        let round = Round { before: both, after: both, seconds: 5.0 };
        let measured = Measured::of(WORK, &[round; 7]);
        assert_eq!(measured.share, Some(0.8));
        assert_eq!(measured.share_memory, Some(0.2));
        assert_eq!(measured.share_compute, Some(0.8));
        assert_eq!(measured.bound, Some(BoundBy::Compute));
        assert!(!measured.fault);
        let round = Round { before: both, after: both, seconds: 3.0 };
        assert!(Measured::of(WORK, &[round; 7]).fault);
    }

    #[test]
    fn without_a_roof_there_is_no_share_and_steadiness_is_that_of_the_time() {
        let none = rates(None, None);
        let at = |seconds| Round { before: none, after: none, seconds };
        let measured = Measured::of(WORK, &[1.0, 1.0, 1.01, 0.99, 1.0, 3.0, 3.0].map(at));
        assert_eq!((measured.share, measured.bound), (None, None));
        assert_eq!((measured.kept, measured.steady, measured.seconds), (5, true, 1.0));
        assert!(!Measured::of(WORK, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0].map(at)).steady);
    }

    /// A machine whose roofs come from a list; it writes down what it was asked to do.
    struct Scripted {
        roofs: Vec<f64>,
        log: String,
    }

    impl Stopwatch for Scripted {
        type Error = &'static str;

        fn roof(&mut self, roof: Roof) -> Rates {
            self.log.push(if roof.threads == 1 { 'r' } else { 'R' });
            rates(self.roofs.pop().unwrap_or(100.0), None)
        }

        fn kernel(&mut self, contestant: usize) -> Result<f64, Self::Error> {
            self.log.push_str(&contestant.to_string());
            if contestant < 9 { Ok(2.0) } else { Err("no such kernel") }
        }
    }

    fn alternate(
        machine: &mut Scripted,
        contestants: &[(Roof, Work)],
        may_retry: impl Fn() -> bool,
    ) -> Result<Vec<Measured>, &'static str> {
        let mut alternation = Alternation::new(contestants);
        while alternation.goes_on() {
            alternation.round(machine, &may_retry)?;
        }
        Ok(alternation.measured())
    }

    fn contestant(threads: usize) -> (Roof, Work) {
        (Roof { threads, memory_bytes: Some(100), peak: None }, WORK)
    }

    #[test]
    fn kernels_with_one_roof_share_it_and_others_measure_their_own() {
        let mut machine = Scripted { roofs: vec![], log: String::new() };
        let contestants = [contestant(1), contestant(1), contestant(2)];
        let measured = alternate(&mut machine, &contestants, || true).unwrap();
        assert_eq!(machine.log, "r0r1rR2R".repeat(7));
        assert!(measured.iter().all(|m| m.rounds == 7 && m.steady && m.share == Some(0.5)));
    }

    #[test]
    fn a_kernel_with_too_few_good_rounds_gets_more_while_time_allows() {
        // The first four rounds end on a roof of half the speed of the one they began on.
        let unsteady: Vec<f64> = (0..5).map(|i| 100.0 * f64::from(1 << i)).collect();
        let mut machine = Scripted { roofs: unsteady.clone(), log: String::new() };
        let measured = alternate(&mut machine, &[contestant(1)], || true).unwrap();
        assert_eq!((measured[0].rounds, measured[0].kept, measured[0].steady), (9, 5, true));
        let mut machine = Scripted { roofs: unsteady, log: String::new() };
        let measured = alternate(&mut machine, &[contestant(1)], || false).unwrap();
        assert_eq!((measured[0].rounds, measured[0].kept, measured[0].steady), (7, 3, false));
    }

    #[test]
    fn after_an_interruption_a_round_begins_on_a_roof_of_its_own() {
        let mut machine = Scripted { roofs: vec![], log: String::new() };
        let contestants = [contestant(1)];
        let mut alternation = Alternation::new(&contestants);
        alternation.round(&mut machine, || true).unwrap();
        alternation.round(&mut machine, || true).unwrap();
        alternation.interrupt();
        alternation.round(&mut machine, || true).unwrap();
        assert_eq!(machine.log, "r0r0rr0r");
        assert!(alternation.common_round() == Some(3) && alternation.goes_on());
    }
}

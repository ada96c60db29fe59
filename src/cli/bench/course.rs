//! The order of runs: rounds, in each of them every load, at each load everybody in turn; void runs again; progress told.
//!
//! Knows no figure besides whether a run is void.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::args::BenchArgs;
use super::bare::{Capacity, capacity_run};
use super::lab::{KEPT_UP, Lab};
use super::measured::{Measured, Run, Subject};
use super::noise;
use super::outcome::Outcome;
use super::progress::Teller;
use super::saturation;
use crate::level::calibrate::LIMIT;

/// How often one run is made again at most.
pub(super) const TRIES: u32 = 3;
/// So often in succession a generator must have sent too little to be at its own end: once may be the machine.
const SHORT: u32 = 2;
/// What starting a service and waiting for its last answers add to a run.
const AROUND: Duration = Duration::from_millis(350);
/// There is nothing to show.
pub(super) const STOPPED_EARLY: &str = "stopped before anything was measured";

/// A benchmark under way.
#[derive(Debug)]
pub(super) struct Course<'a> {
    args: &'a BenchArgs,
    lab: &'a Lab,
    teller: Teller,
    /// Set by SIGINT and SIGTERM: the run under way is the last.
    stop: Arc<AtomicBool>,
    repeats_left: u32,
    repeated: u32,
    pub(super) capacity: Vec<Capacity>,
    /// The service answered all that could be offered.
    limited: bool,
    /// Packets a second that the generator could not send: so many and more are not tried again.
    beyond: f64,
    runs: Vec<Measured>,
}

impl<'a> Course<'a> {
    pub(super) fn new(args: &'a BenchArgs, lab: &'a Lab) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // In this order: the first signal finds the flag unset, sets it, and only the second one ends the program.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&stop),
            )?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let runs = args.loads().len() * lab.subjects().len() * args.rounds as usize;
        let pairs = if args.target.is_empty() { args.rounds as usize } else { 1 };
        let repeats = args.repeats(lab.subjects().len());
        let run = run_time(args, lab);
        let all = run * count(runs) + pair_time(args, lab) * count(pairs);
        Ok(Self {
            args,
            lab,
            stop,
            teller: Teller::new(
                runs + pairs,
                (all, run * repeats, noise::PROBE),
                args.progress,
                &lab.describe().to_string(),
            ),
            repeats_left: repeats,
            repeated: 0,
            capacity: Vec::new(),
            limited: false,
            beyond: f64::INFINITY,
            runs: Vec::new(),
        })
    }

    /// Somebody wants no more.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Nothing is to be shown.
    pub(super) const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn say(&self, what: &str) {
        self.teller.doing(what);
    }

    /// Finds out what counts as 1x.
    pub(super) fn saturation(&mut self) -> anyhow::Result<f64> {
        self.teller.begin();
        self.say("finding saturation");
        let time = capacity_run(self.args.quick);
        if !self.args.target.is_empty() {
            let found = match self.args.saturation {
                Some(rate) => rate,
                None => saturation::of_target(self.lab, 0, time)?,
            };
            let capacity = Capacity { round: 0, service: found, bare: None, sound: true };
            self.capacity.push(capacity);
            self.teller.done("saturation", "", pair_time(self.args, self.lab));
            return Ok(found);
        }
        for round in 0..self.args.rounds {
            self.pair(round)?;
        }
        Ok(self.args.saturation.unwrap_or_else(|| saturation::of_rounds(&self.capacity)))
    }

    fn pair(&mut self, round: u32) -> anyhow::Result<()> {
        anyhow::ensure!(!self.stopped() || !self.is_empty(), STOPPED_EARLY);
        if self.stopped() {
            return Ok(());
        }
        for attempt in 1.. {
            let time = capacity_run(self.args.quick);
            let (pair, limited) = saturation::pair(self.lab, round, time, self.capacity.last())?;
            self.limited |= limited;
            self.capacity.push(pair);
            if pair.sound {
                let found = format!("{:.0} packets/s", pair.service);
                self.teller.done("saturation", &found, pair_time(self.args, self.lab));
                return Ok(());
            }
            if attempt >= TRIES || !self.may_repeat() {
                let why = "void: too much of the time was taken away";
                self.teller.done("saturation", why, pair_time(self.args, self.lab));
                return Ok(());
            }
            self.teller.again(pair_time(self.args, self.lab));
            self.teller.note(&format!("saturation, round {}: void; once more", round + 1));
        }
        Ok(())
    }

    /// All rounds of the sweep.
    pub(super) fn sweep(&mut self, saturation: f64) -> anyhow::Result<()> {
        let (loads, subjects) = (self.args.loads(), self.lab.subjects());
        for round in 0..self.args.rounds {
            for load in &loads {
                for subject in turns(subjects, round) {
                    self.run(subject, *load, saturation, round)?;
                }
            }
        }
        Ok(())
    }

    /// More rounds of some loads, after the ones that were made; and of saturation.
    pub(super) fn again(
        &mut self,
        loads: &[f64],
        capacity: bool,
        saturation: f64,
    ) -> anyhow::Result<()> {
        let rounds = self.args.rounds;
        let first = 1 + self.runs.iter().map(|r| r.round).max().unwrap_or(0);
        let subjects = self.lab.subjects();
        let pairs = if capacity { rounds as usize } else { 0 };
        let runs = rounds as usize * loads.len() * subjects.len();
        let time = run_time(self.args, self.lab) * count(runs)
            + pair_time(self.args, self.lab) * count(pairs);
        self.teller.more(runs + pairs, time);
        for round in first..first + rounds {
            if capacity {
                self.pair(round)?;
            }
            for load in loads {
                for subject in turns(subjects, round) {
                    self.run(subject, *load, saturation, round)?;
                }
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        subject: Subject,
        load: f64,
        saturation: f64,
        round: u32,
    ) -> anyhow::Result<()> {
        if self.stopped() {
            return Ok(());
        }
        let run =
            Run { subject, label: self.lab.label(subject), load, rate: load * saturation, round };
        let name = format!("{load}x {}", run.label);
        let planned = self.lab.planned(&run);
        if planned >= self.beyond {
            self.teller.leave_out(&name, run_time(self.args, self.lab));
            return Ok(());
        }
        let mut short = 0;
        for attempt in 1.. {
            self.say(&name);
            let measured = self.lab.run(&run)?;
            let void = measured.void.clone();
            // Of drawn bursts there may be fewer than in the mean.
            let drawn = self.lab.drawn(&measured).map_or(planned, |due| due.min(planned));
            short = if measured.offered < KEPT_UP * drawn { short + 1 } else { 0 };
            if short >= SHORT && !self.stopped() {
                self.beyond = self.beyond.min(planned);
                self.teller.note(&format!(
                    "{name}: the generator sent {:.0} packets/s of {planned:.0}, {SHORT} times: so much cannot be offered from \
                     one core, and is not tried again",
                    measured.offered
                ));
            }
            let high = measured.high().map_or(0.0, |c| c.on_time_share);
            self.runs.push(measured);
            match void {
                Some(why) if attempt < TRIES && planned < self.beyond && self.may_repeat() => {
                    self.teller.again(run_time(self.args, self.lab));
                    self.teller
                        .note(&format!("{name}, round {}: void, {why}; once more", round + 1));
                }
                void => {
                    let word = void.map_or_else(
                        || format!("{:.1} % on time", high * 100.0),
                        |why| format!("void: {why}"),
                    );
                    self.teller.done(&name, &word, run_time(self.args, self.lab));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn may_repeat(&mut self) -> bool {
        if self.stopped() || self.repeats_left == 0 {
            return false;
        }
        self.repeats_left -= 1;
        self.repeated += 1;
        true
    }

    /// Puts what was measured so far into the result.
    pub(super) fn fill(&self, outcome: &mut Outcome) {
        outcome.capacity.clone_from(&self.capacity);
        outcome.runs.clone_from(&self.runs);
        outcome.repeated = self.repeated;
        outcome.generator_limited = self.limited;
    }

    /// Ends the showing of progress.
    pub(super) fn end(&self) {
        self.teller.end();
    }
}

/// What a run takes: its load, its start, and the last answers.
fn run_time(args: &BenchArgs, lab: &Lab) -> Duration {
    args.duration().to_std() + AROUND + starts(lab)
}

/// Kernels whose batches cost what is to be found out are measured at each start.
fn starts(lab: &Lab) -> Duration {
    LIMIT.to_std() * count(lab.measured_at_start())
}

/// What one look for saturation takes: the service and the bare loop. Of a target it is a search of about as long.
fn pair_time(args: &BenchArgs, lab: &Lab) -> Duration {
    (capacity_run(args.quick).to_std() + AROUND) * 2 + starts(lab)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The order within a round: each round begins with another one, so that nobody always comes after the same neighbour.
fn turns(subjects: &[Subject], round: u32) -> Vec<Subject> {
    let mut order = subjects.to_vec();
    if !order.is_empty() {
        order.rotate_left(round as usize % subjects.len());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_begins_once() {
        let all = [Subject::Target(0), Subject::Target(1), Subject::Target(2)];
        let first: Vec<Subject> = (0..3).map(|round| turns(&all, round)[0]).collect();
        assert_eq!(first, all);
        assert!((0..3).all(|round| turns(&all, round).len() == 3));
        assert!(turns(&[], 1).is_empty());
    }
}

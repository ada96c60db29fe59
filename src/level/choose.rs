//! The choice: the cheapest backend that still meets the deadline; a device only where it pays for the way there (seed 000).
//!
//! Knows no model: every offer comes with its times.

use super::backend::Backend;
use super::fallback::Fallback;
use crate::base::Nanos;

/// Seed 000's table: below this many elements scalar.
pub const SEED_SIMD_FROM: u64 = 1_000;
/// Seed 000's table: above this many elements a device is considered.
pub const SEED_DEVICE_ABOVE: u64 = 100_000;

/// How many times the transfer must be saved, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u64);

impl Ratio {
    const ONE: u64 = 1_000_000;
    /// Seed 000: five times.
    pub const SEED: Self = Self(5 * Self::ONE);

    /// The ratio nearest to `x`, at least a millionth; the largest where `x` is larger. What is no number counts as the least.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and what is below one becomes one"
    )]
    pub fn new(x: f64) -> Self {
        Self(((x * 1e6).round() as u64).max(1))
    }

    /// Whether `saved > ratio * transfer`, the ratio cut to `percent`.
    fn exceeded(self, saved: Nanos, transfer: Nanos, percent: u32) -> bool {
        let times = u128::from(self.0) * u128::from(percent) / 100;
        let needed = times.checked_mul(u128::from(transfer.get()));
        needed.is_some_and(|needed| u128::from(saved.get()) * u128::from(Self::ONE) > needed)
    }
}

/// What sizes are judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Measured times.
    #[default]
    Measured,
    /// Seed 000's fixed table of sizes, for comparison.
    Seed,
    /// A device wherever it is in time, whether it pays or not: to try one out.
    Trial,
}

/// How backends are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Default measured.
    pub mode: Mode,
    /// What a device must save, in transfers; default 5.
    pub transfer_rule: Ratio,
    /// Work goes to a device only where that gains so many percent, and comes back when it would no longer pay by as much less;
    /// 0 to 90, default 20. Between forms on a core there is none: changing over costs nothing.
    pub hysteresis_percent: u32,
    /// What serves a batch that the breaker keeps from a device.
    pub fallback: Fallback,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Measured,
            transfer_rule: Ratio::SEED,
            hysteresis_percent: 20,
            fallback: Fallback::Cpu,
        }
    }
}

/// What one backend would make of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub backend: Backend,
    /// T of the batch, without the transfer.
    pub work: Nanos,
    /// The same on a bad day: what is done within the slack by this is surely in time.
    pub work_high: Nanos,
    /// The same on a good day: what is not done within the slack even by this is surely late.
    pub work_low: Nanos,
    /// There and back; 0 on a core.
    pub transfer: Nanos,
    /// Before it could begin.
    pub wait: Nanos,
    /// Whether it may be used: of a device, what its breaker says.
    pub open: bool,
}

impl Offer {
    /// What it takes of somebody's time.
    fn cost(&self) -> Nanos {
        self.transfer + self.work
    }

    fn done_after(&self) -> Nanos {
        self.wait + self.cost()
    }

    fn surely_done_after(&self) -> Nanos {
        self.wait + self.transfer + self.work_high
    }

    fn done_at_best_after(&self) -> Nanos {
        self.wait + self.transfer + self.work_low
    }

    fn is_device(&self) -> bool {
        self.backend == Backend::Device
    }
}

/// Why a backend was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It costs least of those that are in time.
    Cheapest,
    /// What the device saves exceeds the transfer as many times as the rule asks for.
    PaysTransfer,
    /// The device would not be gone to now, but it does not pay to leave it either.
    Stays,
    /// Seed 000's table.
    Table,
    /// The device is tried out, and in time.
    Trial,
    /// Another one was to have it, and would be late.
    OnlyInTime,
    /// In time or late, as the day is; no other is surely in time, and none is done sooner.
    Barely,
    /// A device was to have it, and its breaker says no.
    BreakerOpen,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It runs there.
    Run(Backend, Reason),
    /// No backend would be in time, not even on a good day: `late_before_offload`.
    Late,
    /// A device was to have it, its breaker says no, and nothing else is to serve it: `breaker_reject`.
    Rejected,
}

/// Chooses for one kernel; remembers which side its work is on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leveller {
    options: Options,
    on_device: bool,
}

impl Leveller {
    /// A leveller whose work is on the cores.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self { options, on_device: false }
    }

    /// Where a batch of `elements` runs that must be done within `slack`. Of two equal offers the earlier one is taken.
    pub fn choose(&mut self, offers: &[Offer], elements: u64, slack: Nanos) -> Choice {
        let wanted = match self.options.mode {
            Mode::Measured => self.measured(offers, slack),
            Mode::Seed => self.table(offers, elements),
            Mode::Trial => trial(offers, slack).or_else(|| self.measured(offers, slack)),
        };
        let Some((wanted, reason)) = wanted else { return Choice::Late };
        self.on_device = wanted.is_device();
        if !wanted.open {
            return self.instead(offers, slack);
        }
        let in_time = match self.options.mode {
            Mode::Measured | Mode::Trial => wanted.surely_done_after() <= slack,
            Mode::Seed => wanted.done_after() <= slack,
        };
        if in_time {
            return Choice::Run(wanted.backend, reason);
        }
        rescue(offers.iter().filter(|o| o.open), slack, Reason::OnlyInTime)
    }

    /// The breaker keeps the batch from the device.
    fn instead(&self, offers: &[Offer], slack: Nanos) -> Choice {
        let fallback = self.options.fallback;
        if fallback == Fallback::Reject {
            return Choice::Rejected;
        }
        let left = offers.iter().filter(|o| o.open && fallback.serves(o.backend));
        rescue(left, slack, Reason::BreakerOpen)
    }

    /// The cheapest core that is in time, or the device where it pays. A core that is late is still answered with where there
    /// is nothing better: who asks sees that it is late.
    fn measured<'o>(&self, offers: &'o [Offer], slack: Nanos) -> Option<(&'o Offer, Reason)> {
        let cores = || offers.iter().filter(|o| !o.is_device() && o.open);
        let core = cores()
            .filter(|o| o.surely_done_after() <= slack)
            .min_by_key(|o| o.cost())
            .or_else(|| cores().min_by_key(|o| o.cost()));
        let device = offers.iter().filter(|o| o.is_device()).min_by_key(|o| (!o.open, o.cost()));
        match (core, device) {
            (Some(core), Some(device)) if device.surely_done_after() <= slack => {
                Some(self.side(core, device))
            }
            (Some(core), _) => Some((core, Reason::Cheapest)),
            (None, device) => device.map(|d| (d, Reason::Cheapest)),
        }
    }

    /// Core or device, both in time as far as is known.
    fn side<'o>(&self, core: &'o Offer, device: &'o Offer) -> (&'o Offer, Reason) {
        let kept_percent = 100 - self.options.hysteresis_percent.min(90);
        let pays = |percent| self.pays(core.work, device, percent);
        if self.on_device {
            match (pays(100), pays(kept_percent)) {
                (true, _) => (device, Reason::PaysTransfer),
                (false, true) => (device, Reason::Stays),
                (false, false) => (core, Reason::Cheapest),
            }
        } else {
            // Both as u128, so that neither side wraps.
            let enough = u128::from(device.cost().get()) * 100
                < u128::from(core.cost().get()) * u128::from(kept_percent);
            if pays(100) && enough {
                (device, Reason::PaysTransfer)
            } else {
                (core, Reason::Cheapest)
            }
        }
    }

    /// Seed 000: `(t_cpu - t_gpu) > ratio * t_xfer`.
    fn pays(&self, core: Nanos, device: &Offer, percent: u32) -> bool {
        let saved = core.get().checked_sub(device.work.get()).map(Nanos::new);
        saved.is_some_and(|s| self.options.transfer_rule.exceeded(s, device.transfer, percent))
    }

    /// Seed 000's sizes. What this machine lacks is passed over for what is next smaller, or else the smallest there is.
    fn table<'o>(&self, offers: &'o [Offer], elements: u64) -> Option<(&'o Offer, Reason)> {
        let widest = |simd: bool| {
            let cores = offers.iter().filter(|o| !o.is_device() && o.backend.is_simd() == simd);
            cores.max_by_key(|o| o.backend)
        };
        let scalar = widest(false).or_else(|| widest(true));
        let simd = widest(true).or(scalar);
        let core = if elements < SEED_SIMD_FROM { scalar } else { simd };
        let device = offers.iter().filter(|o| o.is_device()).min_by_key(|o| !o.open);
        let chosen = match (core, device) {
            (Some(core), Some(device))
                if elements > SEED_DEVICE_ABOVE && self.pays(core.work, device, 100) =>
            {
                Some(device)
            }
            (None, device) => device,
            (core, _) => core,
        };
        chosen.map(|o| (o, Reason::Table))
    }
}

/// The device if it is in time for sure.
fn trial(offers: &[Offer], slack: Nanos) -> Option<(&Offer, Reason)> {
    let in_time = |o: &&Offer| o.is_device() && o.surely_done_after() <= slack;
    offers.iter().find(in_time).map(|o| (o, Reason::Trial))
}

/// The cheapest that is in time for sure. Where there is none, cost no longer counts: of those that are in time on a good day the one
/// that is done first, whose chance is the best. By the usual time alone the half of the batches that take less than usual would
/// be given up wherever that is a hair past the slack.
fn rescue<'o>(left: impl Iterator<Item = &'o Offer> + Clone, slack: Nanos, why: Reason) -> Choice {
    let sure = left.clone().filter(|o| o.surely_done_after() <= slack).min_by_key(|o| o.cost());
    if let Some(offer) = sure {
        return Choice::Run(offer.backend, why);
    }
    let perhaps = left.filter(|o| o.done_at_best_after() <= slack);
    match perhaps.min_by_key(|o| o.done_after()) {
        Some(offer) => Choice::Run(offer.backend, Reason::Barely),
        None => Choice::Late,
    }
}

#[cfg(test)]
mod tests;

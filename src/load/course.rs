//! The rate over time, as a map from "the so many-th packet" to its time: stretches, and bursts on top of them.
//!
//! Knows no randomness of arrivals: positions are given to it. Times are nanoseconds from the start, counts are packets.

use rand_distr::Distribution as _;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::arrivals::{Bursts, Stretch};
use crate::base::Nanos;

/// A part in which the rate is a straight line.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: f64,
    length: f64,
    /// Packets before it.
    before: f64,
    /// Packets in it.
    packets: f64,
    /// Packets a nanosecond at its start.
    rate: f64,
    /// By how much that grows in a nanosecond.
    slope: f64,
    /// Nanoseconds a packet, where the rate does not change.
    period: f64,
}

/// Walked once, from its start to its end.
#[derive(Debug)]
pub(super) struct Course {
    pieces: Vec<Piece>,
    at: usize,
    total: f64,
}

impl Course {
    /// The course through `stretches`; `bursts` redistributes their packets and keeps their number.
    pub(super) fn new(
        stretches: &[Stretch],
        bursts: Option<&Bursts>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let mut course = Self { pieces: Vec::new(), at: 0, total: 0.0 };
        let mut start = 0.0;
        let wanted: f64 = stretches.iter().map(Stretch::packets).sum();
        let mut waves = bursts.map(|b| Waves::new(*b, rng));
        for stretch in stretches {
            let length = ns(stretch.length);
            if length > 0.0 {
                course.add_stretch(start, length, stretch, waves.as_mut(), rng);
            }
            start += length;
        }
        if course.total > 0.0 {
            course.scale(wanted / course.total);
        }
        course
    }

    /// How many packets the whole course has.
    pub(super) const fn total(&self) -> f64 {
        self.total
    }

    /// When `count` packets are behind. Counts must not fall from call to call.
    #[inline]
    pub(super) fn time_of(&mut self, count: f64) -> f64 {
        while let Some(piece) = self.pieces.get(self.at)
            && count >= piece.before + piece.packets
            && self.at + 1 < self.pieces.len()
        {
            self.at += 1;
        }
        let Some(piece) = self.pieces.get(self.at) else { return 0.0 };
        let into = (count - piece.before).max(0.0).min(piece.packets);
        if piece.slope == 0.0 {
            return piece.start + into * piece.period;
        }
        // into = rate t + slope t²/2, solved in the form that does not cancel.
        let root = (piece.rate * piece.rate + 2.0 * piece.slope * into).max(0.0).sqrt();
        let sum = piece.rate + root;
        let t = if sum > 0.0 { 2.0 * into / sum } else { 0.0 };
        piece.start + t.min(piece.length)
    }

    fn add_stretch(
        &mut self,
        start: f64,
        length: f64,
        stretch: &Stretch,
        waves: Option<&mut Waves>,
        rng: &mut Xoshiro256PlusPlus,
    ) {
        let rate = stretch.from / 1e9;
        let slope = (stretch.to - stretch.from) / 1e9 / length;
        let Some(waves) = waves else {
            self.add(start, length, rate, slope);
            return;
        };
        let mut into = 0.0;
        while into < length {
            let part = waves.left.min(length - into);
            let factor = if waves.on { waves.bursts.ratio } else { 1.0 };
            self.add(start + into, part, (rate + slope * into) * factor, slope * factor);
            into += part;
            waves.pass(part, rng);
        }
    }

    fn add(&mut self, start: f64, length: f64, rate: f64, slope: f64) {
        let packets = (rate + slope * length / 2.0) * length;
        // A pause has no packets to place.
        if packets > 0.0 {
            let period = 1.0 / rate;
            let before = self.total;
            self.pieces.push(Piece { start, length, before, packets, rate, slope, period });
            self.total += packets;
        }
    }

    fn scale(&mut self, factor: f64) {
        for piece in &mut self.pieces {
            piece.before *= factor;
            piece.packets *= factor;
            piece.rate *= factor;
            piece.slope *= factor;
            piece.period /= factor;
        }
        self.total *= factor;
    }
}

/// The states of a burst process, with exponential lengths.
#[derive(Debug)]
struct Waves {
    bursts: Bursts,
    on: bool,
    /// What is left of the present state.
    left: f64,
}

impl Waves {
    fn new(bursts: Bursts, rng: &mut Xoshiro256PlusPlus) -> Self {
        let mut waves = Self { bursts, on: true, left: 0.0 };
        waves.pass(0.0, rng);
        waves
    }

    fn pass(&mut self, time: f64, rng: &mut Xoshiro256PlusPlus) {
        self.left -= time;
        if self.left <= 0.0 {
            self.on = !self.on;
            let mean = ns(if self.on { self.bursts.on } else { self.bursts.off });
            let drawn: f64 = rand_distr::Exp1.sample(rng);
            // A length of zero would not advance.
            self.left = (drawn * mean).max(1.0);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ns are 104 days")]
fn ns(span: Nanos) -> f64 {
    span.get() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::rand_core::SeedableRng as _;

    const SECOND: Nanos = Nanos::from_secs(1);

    fn course(stretches: &[Stretch], bursts: Option<&Bursts>) -> Course {
        Course::new(stretches, bursts, &mut Xoshiro256PlusPlus::seed_from_u64(3))
    }

    fn step(rate: f64) -> Stretch {
        Stretch { from: rate, to: rate, length: SECOND }
    }

    #[test]
    fn steps_pauses_and_ramps_place_each_packet_where_the_integral_says() {
        let ramp = Stretch { from: 0.0, to: 200.0, length: SECOND };
        let mut c = course(&[step(100.0), step(0.0), ramp, step(10.0)], None);
        assert!((c.total() - 210.0).abs() < 1e-9);
        for (count, seconds) in [
            (0.0, 0.0),
            (50.0, 0.5),
            // The pause is skipped: the 100th packet begins the ramp.
            (100.0, 2.0),
            // A quarter of the ramp's packets lie in its first half.
            (125.0, 2.5),
            (181.0, 2.9),
            (200.0, 3.0),
            (205.0, 3.5),
        ] {
            let got = c.time_of(count) / 1e9;
            assert!((got - seconds).abs() < 1e-6, "{count}: {got}");
        }
        let mut down = course(&[Stretch { from: 200.0, to: 0.0, length: SECOND }], None);
        assert!((down.time_of(75.0) / 1e9 - 0.5).abs() < 1e-6);
        assert!(down.time_of(99.999) < 1e9);
    }

    #[test]
    fn bursts_keep_the_number_and_crowd_it() {
        let bursts = Bursts::default();
        let long = Stretch { from: 1_000.0, to: 1_000.0, length: Nanos::from_secs(200) };
        let c = course(&[long], Some(&bursts));
        assert!((c.total() - 200_000.0).abs() < 1e-3);
        let (mut on, mut packets) = (0.0, 0.0);
        let high = c.pieces.iter().map(|p| p.rate).fold(0.0, f64::max);
        let low = c.pieces.iter().map(|p| p.rate).fold(f64::MAX, f64::min);
        assert!((high / low - 10.0).abs() < 1e-6, "{high} {low}");
        for piece in c.pieces.iter().filter(|p| p.rate > low * 2.0) {
            on += piece.length / 1e9;
            packets += piece.packets;
        }
        // A fifth of the time, 10 of 14 packets; some 4,000 bursts.
        assert!((on / 200.0 - 0.2).abs() < 0.02, "{on}");
        assert!((packets / 200_000.0 - 10.0 / 14.0).abs() < 0.02, "{packets}");
        assert!(c.pieces.windows(2).all(|w| w[0].start < w[1].start && w[0].before < w[1].before));
    }
}

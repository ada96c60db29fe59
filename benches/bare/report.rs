//! Medians, quartiles and ratios of what was measured, for people and for programs.

use std::fmt::Write as _;

use super::NAMES;
use super::latency::Latency;
use super::quartiles::quartiles;

/// One scenario's rounds: nanoseconds of the server's CPU time a datagram, for each contestant.
pub(crate) struct Contest {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<[f64; NAMES.len()]>,
    pub(crate) dropped: u64,
    pub(crate) reasons: Vec<(&'static str, u64)>,
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) contests: Vec<Contest>,
    pub(crate) latency: Option<Latency>,
}

/// The ratios that count: product over bare on the same primitive, then over the better of the two bare loops.
const RATIOS: [(&str, usize, Option<usize>); 4] = [
    ("product mio / bare mmsg", 2, Some(0)),
    ("product uring / bare uring", 3, Some(1)),
    ("product mio / better bare", 2, None),
    ("product uring / better bare", 3, None),
];

impl Contest {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new(), dropped: 0, reasons: Vec::new() }
    }

    fn cost(&self, contestant: usize) -> [f64; 3] {
        quartiles(self.rounds.iter().map(|r| r[contestant]))
    }

    /// Answers a second of the better bare loop.
    pub(crate) fn saturation(&self) -> f64 {
        1e9 / self.cost(0)[1].min(self.cost(1)[1])
    }

    /// Speed against speed, so the costs the other way round.
    fn ratio(&self, product: usize, bare: Option<usize>) -> [f64; 3] {
        quartiles(self.rounds.iter().map(|r| bare.map_or(r[0].min(r[1]), |b| r[b]) / r[product]))
    }
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for c in &self.contests {
            let _ = writeln!(
                out,
                "{}: {} rounds, {} drops {:?}",
                c.name,
                c.rounds.len(),
                c.dropped,
                c.reasons
            );
            for (i, name) in NAMES.iter().enumerate() {
                let [low, mid, high] = c.cost(i);
                let rate = 1e6 / mid;
                let _ = writeln!(
                    out,
                    "  {name:<14} {mid:8.1} ns a packet ({low:.1} to {high:.1}) {rate:8.0} k/s a core"
                );
            }
            for (name, product, bare) in RATIOS {
                let [low, mid, high] = c.ratio(product, bare);
                let _ = writeln!(out, "  {name:<28} {mid:.3} ({low:.3} to {high:.3})");
            }
        }
        if let Some(latency) = &self.latency {
            latency.text(&mut out);
        }
        out
    }

    pub(crate) fn json(&self) -> String {
        let contests: Vec<_> = self
            .contests
            .iter()
            .map(|c| {
                let costs: Vec<_> = (0..NAMES.len())
                    .map(|i| serde_json::json!({"name": NAMES[i], "ns_per_packet": c.cost(i)}))
                    .collect();
                let ratios: Vec<_> = RATIOS
                    .iter()
                    .map(|(n, p, b)| serde_json::json!({"name": n, "ratio": c.ratio(*p, *b)}))
                    .collect();
                serde_json::json!({
                    "scenario": c.name, "rounds": c.rounds.len(), "dropped": c.dropped,
                    "costs": costs, "ratios": ratios,
                })
            })
            .collect();
        let latency = self.latency.as_ref().map(Latency::json);
        serde_json::json!({"quartiles": [0.25, 0.5, 0.75], "contests": contests, "latency": latency})
            .to_string()
    }
}

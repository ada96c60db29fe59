//! Synthetic telemetry of a server: sixteen readings that hang together, and the ways in which they come apart.

pub(crate) const FEATURES: usize = 16;

/// A small seeded generator (SplitMix64): the same numbers everywhere.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// About normal: the sum of twelve.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

pub(crate) struct Sample {
    pub features: [f32; FEATURES],
    /// Whether it is an anomaly.
    pub odd: bool,
}

impl Sample {
    pub(crate) fn draw(draw: &mut Draw) -> Self {
        let mut features = healthy(draw);
        let odd = draw.unit() < 0.3;
        if odd {
            break_something(&mut features, draw);
        }
        Self { features, odd }
    }
}

/// Everything follows the load and the share of writes: that is what there is to learn.
fn healthy(d: &mut Draw) -> [f32; FEATURES] {
    let load = 0.05 + 0.9 * d.unit();
    let writes = d.unit();
    let mut noise = |size: f32| size * d.normal();
    let requests = 2_000.0 * load + noise(40.0);
    let latency = 0.3 / (1.05 - load) + noise(0.05);
    [
        100.0 * load + noise(2.0),                 // processor, percent
        30.0 * load * writes + noise(0.8),         // waiting for disks, percent
        requests,                                  // requests a second
        latency,                                   // ms
        latency * 3.0 + noise(0.2),                // p99, ms
        requests * 0.004 + noise(0.2),             // received, MB/s
        requests * 0.012 + noise(0.5),             // sent, MB/s
        120.0 * load * writes + noise(3.0),        // written, MB/s
        80.0 * load * (1.0 - writes) + noise(3.0), // read, MB/s
        35.0 + 40.0 * load + noise(1.0),           // degrees
        900.0 + 2_600.0 * load + noise(60.0),      // fan, turns a minute
        40.0 + 25.0 * load + noise(1.5),           // memory, percent
        (2.0 * load + noise(0.4)).max(0.0),        // errors a second
        150.0 + 500.0 * load + noise(15.0),        // connections
        80.0 + 160.0 * load + noise(4.0),          // watts
        12_000.0 * load + 1_500.0 + noise(300.0),  // switches a second
    ]
}

fn break_something(x: &mut [f32; FEATURES], d: &mut Draw) {
    // Many are faint: some of them nobody could tell from noise.
    let strength = 0.02 + 0.98 * d.unit().powi(2);
    match d.word() % 7 {
        // A fan that stands: hot, although it is not busy.
        0 => {
            x[9] += 25.0 * strength;
            x[10] *= 1.0 - 0.9 * strength;
        }
        // A leak.
        1 => x[11] += 30.0 * strength,
        // A slow disk: waiting without writing.
        2 => {
            x[1] += 30.0 * strength;
            x[3] *= 1.0 + 2.0 * strength;
            x[4] *= 1.0 + 4.0 * strength;
        }
        // Somebody mines: busy without requests.
        3 => {
            x[2] *= 1.0 - 0.8 * strength;
            x[5] *= 1.0 - 0.8 * strength;
            x[6] *= 1.0 - 0.8 * strength;
            x[0] = 60.0 + 40.0 * strength;
        }
        // Data leaves.
        4 => x[6] += 25.0 * strength,
        // Connections that nobody closes.
        5 => x[13] += 600.0 * strength,
        // Errors.
        _ => x[12] += 8.0 * strength,
    }
}

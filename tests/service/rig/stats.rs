//! The `/stats` body, read as its users read it.

use serde_json::Value;

/// One body.
#[derive(Clone, Debug)]
pub(crate) struct Stats(pub(crate) Value);

impl Stats {
    /// A figure of one ingress and priority; zero where nothing ever came in.
    pub(crate) fn get(&self, ingress: &str, priority: &str, field: &str) -> u64 {
        self.0["ingresses"][ingress][priority][field].as_u64().unwrap_or(0)
    }

    /// Drops of one ingress and priority for that reason.
    pub(crate) fn dropped(&self, ingress: &str, priority: &str, reason: &str) -> u64 {
        self.0["ingresses"][ingress][priority]["dropped"][reason].as_u64().unwrap_or(0)
    }

    /// Datagrams of one ingress and priority that never got past the kernel.
    pub(crate) fn kernel_dropped(&self, ingress: &str, priority: &str) -> u64 {
        let cell = &self.0["ingresses"][ingress][priority];
        cell["kernel_dropped"]["rx_kernel_overflow"].as_u64().unwrap_or(0)
    }

    /// Drops for that reason, wherever they were counted.
    pub(crate) fn drops(&self, reason: &str) -> u64 {
        match reason {
            "rx_kernel_overflow" => self.total_kernel_dropped(),
            _ => self.0["totals"]["dropped"][reason].as_u64().unwrap_or(0),
        }
    }

    pub(crate) fn total(&self, field: &str) -> u64 {
        self.0["totals"][field].as_u64().unwrap()
    }

    pub(crate) fn total_kernel_dropped(&self) -> u64 {
        self.0["totals"]["kernel_dropped"]["rx_kernel_overflow"].as_u64().unwrap()
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.total("in_flight")
    }

    /// What moves while packets do.
    pub(crate) fn moved(&self) -> (u64, u64) {
        (self.total("received"), self.total_kernel_dropped())
    }

    pub(crate) fn worker(&self, worker: usize, priority: &str, field: &str) -> u64 {
        self.0["workers"][worker]["priorities"][priority][field].as_u64().unwrap()
    }

    pub(crate) fn workers(&self) -> usize {
        self.0["workers"].as_array().unwrap().len()
    }

    /// Law 1, recomputed here for every ingress and priority; and, where `strict`, law 2's witness.
    pub(crate) fn check_law(&self, strict: bool) {
        for (name, classes) in self.0["ingresses"].as_object().unwrap() {
            for (priority, cell) in classes.as_object().unwrap() {
                let n = |field: &str| cell[field].as_u64().unwrap();
                let dropped = cell["dropped"].as_object().unwrap();
                let dropped: u64 = dropped.values().map(|d| d.as_u64().unwrap()).sum();
                let out = n("replied") + n("forwarded") + dropped + n("in_flight");
                assert_eq!(n("received"), out, "{name} {priority}: {cell}");
                assert_eq!(cell["unaccounted"].as_i64(), Some(0), "{name} {priority}: {cell}");
                assert_eq!(n("on_time") + n("late"), n("replied") + n("forwarded"), "{cell}");
            }
        }
        assert_eq!(self.0["conservation"]["holds"].as_bool(), Some(true), "{}", self.0);
        for worker in self.0["workers"].as_array().unwrap() {
            for (priority, class) in worker["priorities"].as_object().unwrap() {
                let hopeless = class["started_expired"].as_u64();
                assert!(!strict || hopeless == Some(0), "{priority}: run when late: {worker}");
            }
        }
    }
}

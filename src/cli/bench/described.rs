//! What a benchmark was run on, in the words of the result.
//!
//! Knows no measurement.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::Nanos;

/// What one class asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Work {
    pub(in crate::cli) class: String,
    /// The kernel's name in the config.
    pub(in crate::cli) kernel: String,
    pub(in crate::cli) kind: String,
    /// The form that the cores run, such as `f32 avx512`.
    pub(in crate::cli) runs_as: String,
    /// Bytes that the kernel is given.
    pub(in crate::cli) payload: usize,
    /// Of the kernel's parameters, so that another model of the same name is known for one.
    pub(in crate::cli) fingerprint: String,
}

impl Work {
    /// Whether results of both can stand beside each other. What form it runs in is the machine's or a setting's.
    pub(in crate::cli) fn is(&self, other: &Self) -> bool {
        let of = |w: &Self| (w.class.clone(), w.fingerprint.clone(), w.payload);
        of(self) == of(other)
    }

    /// `mlp f32 avx512`; what runs in one form only is its kind alone.
    fn form(&self) -> String {
        match self.kind.as_str() {
            "spin" | "echo" => self.kind.clone(),
            kind => format!("{kind} {}", self.runs_as),
        }
    }
}

/// What a benchmark was run on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Described {
    pub(in crate::cli) service_core: usize,
    pub(in crate::cli) generator_core: usize,
    /// Busy work of a packet; none for other kernels and for targets.
    #[serde(rename = "service_ns")]
    pub(in crate::cli) service: Option<Nanos>,
    pub(in crate::cli) mix: Vec<f64>,
    pub(in crate::cli) driver: String,
    pub(in crate::cli) seconds: f64,
    pub(in crate::cli) seed: u64,
    /// Servers that are not ours.
    pub(in crate::cli) targets: Vec<String>,
    /// What each class asks for, in their order; none for targets, and in files of version 2.
    #[serde(default)]
    pub(in crate::cli) work: Vec<Work>,
    /// The config that was measured, where one was named.
    #[serde(default)]
    pub(in crate::cli) config: Option<String>,
    /// The setting's own policy: goals are for it, unless batches stand beside each other.
    #[serde(default)]
    pub(in crate::cli) policy: Option<String>,
    /// The setting's own batches, by their name among the subjects, where batches stand beside each other.
    #[serde(default)]
    pub(in crate::cli) batches: Option<String>,
    /// How send times were drawn, as it was asked for; none: a Poisson process.
    #[serde(default)]
    pub(in crate::cli) arrivals: Option<String>,
    /// By class; none for targets, and in older files.
    #[serde(default, rename = "budgets_ns")]
    pub(in crate::cli) budgets: Vec<Nanos>,
}

impl Described {
    /// It was our own service.
    pub(in crate::cli) const fn is_ours(&self) -> bool {
        self.targets.is_empty()
    }

    /// The forms that the cores ran, each once.
    pub(in crate::cli) fn forms(&self) -> Vec<String> {
        let mut forms: Vec<String> = Vec::new();
        for work in &self.work {
            let form = work.form();
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        forms
    }

    /// What a packet costs, in words.
    pub(in crate::cli) fn work_in_words(&self) -> String {
        if let Some(service) = self.service {
            return format!("{service} of busy work each");
        }
        let lens = self.work.iter().map(|w| w.payload);
        let bytes = match (lens.clone().min(), lens.max()) {
            (Some(least), Some(most)) if least == most => format!("{least} bytes"),
            (Some(least), Some(most)) => format!("{least} to {most} bytes"),
            _ => "no payload".to_owned(),
        };
        format!("{} on {bytes} each", self.forms().join(", "))
    }

    /// How requests arrived, as it was asked for.
    pub(in crate::cli) fn arrivals_in_words(&self) -> &str {
        self.arrivals.as_deref().unwrap_or("poisson")
    }

    fn classes(&self) -> String {
        let mix: Vec<String> = self.mix.iter().map(f64::to_string).collect();
        let names: Vec<String> = match self.config {
            Some(_) => self.work.iter().map(|w| w.class.clone()).collect(),
            None => ["High", "Medium", "Low"].map(str::to_owned).into(),
        };
        if names.len() == 1 {
            return names.concat();
        }
        format!("{} = {} by packets", names.join(":"), mix.join(":"))
    }
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_ours() {
            let (targets, s) = (self.targets.join(", "), self.seconds);
            write!(f, "{targets}; {s} s a run, load on core {}", self.generator_core)?;
            return self.arrivals.iter().try_for_each(|a| write!(f, ", {a}"));
        }
        if let Some(config) = &self.config {
            write!(f, "{config}: ")?;
        }
        write!(
            f,
            "{}, {}, {} s a run; service on core {}, load on core {}, {}",
            self.classes(),
            self.work_in_words(),
            self.seconds,
            self.service_core,
            self.generator_core,
            self.driver
        )?;
        self.arrivals.iter().try_for_each(|a| write!(f, ", {a}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn what_is_run_is_said_in_one_line() {
        let mut lab = testing::outcome(&[0.9]).lab;
        let said = lab.to_string();
        assert!(
            said.starts_with("High:Medium:Low = 1:2:7 by packets, 20us of busy work each,"),
            "{said}"
        );
        let work = |class: &str, payload| Work {
            class: class.to_owned(),
            kind: "mlp".to_owned(),
            runs_as: "f32 avx2".to_owned(),
            payload,
            ..Work::default()
        };
        lab.service = None;
        lab.work = vec![work("a", 64), work("b", 72)];
        (lab.mix, lab.config) = (vec![1.0, 1.0], Some("it.toml".to_owned()));
        let said = lab.to_string();
        assert!(
            said.starts_with("it.toml: a:b = 1:1 by packets, mlp f32 avx2 on 64 to 72 bytes each,"),
            "{said}"
        );
    }
}

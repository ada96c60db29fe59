//! What serves when a device may not.

use super::backend::Backend;

/// What serves a batch that the breaker keeps from the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// A core: vectors where they are in time and cheapest, else the reference.
    #[default]
    Cpu,
    /// A core, by vectors.
    Simd,
    /// A core, by the reference.
    Scalar,
    /// Nothing: it is refused.
    Reject,
}

impl Fallback {
    /// Whether `backend` may serve it.
    #[must_use]
    pub const fn serves(self, backend: Backend) -> bool {
        match self {
            Self::Cpu => !matches!(backend, Backend::Device),
            Self::Simd => backend.is_simd(),
            Self::Scalar => matches!(backend, Backend::Scalar),
            Self::Reject => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serves_instead() {
        let served = |f: Fallback| Backend::ALL.map(|b| f.serves(b));
        assert_eq!(served(Fallback::Cpu), [true, true, true, false]);
        assert_eq!(served(Fallback::Simd), [false, true, true, false]);
        assert_eq!(served(Fallback::Scalar), [true, false, false, false]);
        assert_eq!(served(Fallback::Reject), [false; 4]);
    }
}

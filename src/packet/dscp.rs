//! The differentiated-services code point (RFC 2474) and the class that its standard values ask for.

use crate::base::Priority;

/// The upper six bits of the IPv4 TOS byte or the IPv6 traffic class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dscp(u8);

impl Dscp {
    /// Expedited forwarding (RFC 3246).
    pub const EF: Self = Self(46);

    /// From the TOS byte or traffic class; the two ECN bits are cut off.
    #[must_use]
    pub const fn from_tos(tos: u8) -> Self {
        Self(tos >> 2)
    }

    /// The code point.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// EF is High; AF4x, CS4 and CS5 are Medium; CS1 and LE (RFC 8622) are best effort; the default and AF1x to AF3x are Low.
    /// Other code points ask for nothing.
    #[must_use]
    pub const fn priority(self) -> Option<Priority> {
        match self.0 {
            46 => Some(Priority::High),
            34 | 36 | 38 | 32 | 40 => Some(Priority::Medium),
            0 | 10 | 12 | 14 | 18 | 20 | 22 | 26 | 28 | 30 => Some(Priority::Low),
            8 | 1 => Some(Priority::BestEffort),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_code_points_map_as_agreed() {
        assert_eq!(Dscp::from_tos(0xb8), Dscp::EF);
        for (dscp, want) in [
            (46, Some(Priority::High)),
            (34, Some(Priority::Medium)),
            (38, Some(Priority::Medium)),
            (40, Some(Priority::Medium)),
            (0, Some(Priority::Low)),
            (26, Some(Priority::Low)),
            (8, Some(Priority::BestEffort)),
            (1, Some(Priority::BestEffort)),
            (56, None),
        ] {
            assert_eq!(Dscp::from_tos(dscp << 2 | 1).priority(), want, "dscp {dscp}");
        }
    }
}
